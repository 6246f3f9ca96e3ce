#!/usr/bin/env -S /usr/bin/python3 -I
"""An application with a session open on a token, which maps the token's shared memory.

    hold.py LIBRARY SLOT PIN

Each line on stdin is answered by one on stdout, the number of objects that the session sees; one that is not empty
first makes a data object of this label. It ends with stdin.
"""

import ctypes
import sys

CKF_RW_SESSION, CKF_SERIAL_SESSION, CKU_USER = 2, 4, 1
CKA_CLASS, CKA_TOKEN, CKA_PRIVATE, CKA_LABEL, CKA_VALUE, CKO_DATA = 0, 1, 2, 3, 0x11, 0


class Attribute(ctypes.Structure):
    _fields_ = [("type", ctypes.c_ulong), ("value", ctypes.c_char_p), ("length", ctypes.c_ulong)]


def call(name, *arguments):
    rv = getattr(library, name)(*arguments)
    if rv != 0:
        sys.exit(f"hold.py: {name}: {rv:#x}")


def create(session, label):
    values = {
        CKA_CLASS: CKO_DATA.to_bytes(ctypes.sizeof(ctypes.c_ulong), sys.byteorder),
        CKA_TOKEN: b"\1",
        CKA_PRIVATE: b"\0",
        CKA_LABEL: label.encode(),
        CKA_VALUE: b"made by hold.py",
    }
    template = (Attribute * len(values))(*(Attribute(t, v, len(v)) for t, v in values.items()))
    call("C_CreateObject", session, template, ctypes.c_ulong(len(values)), ctypes.byref(ctypes.c_ulong()))


def count(session):
    handle, n, total = ctypes.c_ulong(), ctypes.c_ulong(), 0
    call("C_FindObjectsInit", session, None, ctypes.c_ulong(0))
    while True:
        call("C_FindObjects", session, ctypes.byref(handle), ctypes.c_ulong(1), ctypes.byref(n))
        if n.value == 0:
            break
        total += 1
    call("C_FindObjectsFinal", session)
    return total


library = ctypes.CDLL(sys.argv[1])
slot, pin = ctypes.c_ulong(int(sys.argv[2])), sys.argv[3].encode()
session = ctypes.c_ulong()
call("C_Initialize", None)
call("C_OpenSession", slot, ctypes.c_ulong(CKF_RW_SESSION | CKF_SERIAL_SESSION), None, None, ctypes.byref(session))
call("C_Login", session, ctypes.c_ulong(CKU_USER), pin, ctypes.c_ulong(len(pin)))
for line in sys.stdin:
    if line.strip():
        create(session, line.strip())
    print(count(session), flush=True)
