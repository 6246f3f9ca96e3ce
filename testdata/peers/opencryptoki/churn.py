#!/usr/bin/env -S /usr/bin/python3 -I
"""An application that changes a token again and again, until a file is there.

    churn.py objects|makes|pins LIBRARY SLOT PIN OTHER-PIN NAME ENOUGH

objects: it makes data objects, private and public in turns, and removes them again. makes: it only makes them. pins: it changes the user PIN to
OTHER-PIN and back, with a rest of a second and more in between. At the end it prints how many changes it made, and the
longest that one took, in ms. Whatever the library refuses ends it with an error.
"""

import ctypes
import os
import sys
import time

CKF_RW_SESSION, CKF_SERIAL_SESSION, CKU_USER = 2, 4, 1
CKA_CLASS, CKA_TOKEN, CKA_PRIVATE, CKA_LABEL, CKA_VALUE, CKO_DATA = 0, 1, 2, 3, 0x11, 0
REST = 1.3  # seconds
BREATH = 0.002  # without one, nobody else gets the lock from the library: other applications cannot even start


class Attribute(ctypes.Structure):
    _fields_ = [("type", ctypes.c_ulong), ("value", ctypes.c_char_p), ("length", ctypes.c_ulong)]


def call(name, *arguments):
    global changes, longest
    begun = time.monotonic()
    rv = getattr(library, name)(*arguments)
    if rv != 0:
        sys.exit(f"churn.py: {name}: {rv:#x}, after {changes} changes")
    longest = max(longest, time.monotonic() - begun)
    changes += 1


def create(label, private, size):
    values = {
        CKA_CLASS: CKO_DATA.to_bytes(ctypes.sizeof(ctypes.c_ulong), sys.byteorder),
        CKA_TOKEN: b"\1",
        CKA_PRIVATE: b"\1" if private else b"\0",
        CKA_LABEL: label.encode(),
        CKA_VALUE: (label.encode() * size)[:size],
    }
    template = (Attribute * len(values))(*(Attribute(t, v, len(v)) for t, v in values.items()))
    handle = ctypes.c_ulong()
    call("C_CreateObject", session, template, ctypes.c_ulong(len(values)), ctypes.byref(handle))
    return handle


def objects(remove=True, most=1500):
    made, n = [], 0
    while not os.path.exists(enough):
        if n == most and not remove:  # a token has room for 2,048 of each kind
            time.sleep(BREATH)
            continue
        n += 1
        made.append(create(f"{name} {n}", n % 2 == 0, 100 + n * 379 % 9000))
        if remove and len(made) > 12:
            call("C_DestroyObject", session, made.pop(n % 12))
        time.sleep(BREATH)
    for handle in made if remove else []:
        call("C_DestroyObject", session, handle)


def pins():
    now, then = pin, other
    while now != pin or not os.path.exists(enough):
        call("C_SetPIN", session, now, ctypes.c_ulong(len(now)), then, ctypes.c_ulong(len(then)))
        now, then = then, now
        time.sleep(REST)


what, path, slot, pin, other, name, enough = sys.argv[1:]
library, slot, pin, other = ctypes.CDLL(path), ctypes.c_ulong(int(slot)), pin.encode(), other.encode()
session, changes, longest = ctypes.c_ulong(), 0, 0.0
call("C_Initialize", None)
call("C_OpenSession", slot, ctypes.c_ulong(CKF_RW_SESSION | CKF_SERIAL_SESSION), None, None, ctypes.byref(session))
call("C_Login", session, ctypes.c_ulong(CKU_USER), pin, ctypes.c_ulong(len(pin)))
changes, longest = 0, 0.0
open(f"{enough}.{name}", "w").close()
while not os.path.exists(f"{enough}.go"):  # who starts meanwhile may read half an NVTOK.DAT, and see no token
    time.sleep(BREATH)
{"objects": objects, "makes": lambda: objects(False, 600), "pins": pins}[what]()
print(changes, round(longest * 1000))
