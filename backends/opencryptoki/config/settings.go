package config

import (
	"fmt"
	"strconv"
	"strings"
)

const keys = "stdll, description, manufacturer, hwversion, firmwareversion, confname, tokname, tokversion and usergroup"

// settings put a value into a slot, or say what is wrong with it.
var settings = map[string]func(s *Slot, k kind, value string) string{
	"stdll":           str(255, func(s *Slot) *string { return &s.STDLL }, nil),
	"description":     str(64, func(s *Slot) *string { return &s.Description }, nil),
	"manufacturer":    str(32, func(s *Slot) *string { return &s.Manufacturer }, nil),
	"confname":        str(255, func(s *Slot) *string { return &s.ConfName }, confName),
	"tokname":         str(255, func(s *Slot) *string { return &s.TokName }, tokName),
	"usergroup":       str(255, func(s *Slot) *string { return &s.UserGroup }, nil),
	"hwversion":       ver(func(s *Slot) *Version { return &s.Hardware }),
	"firmwareversion": ver(func(s *Slot) *Version { return &s.Firmware }),
	"tokversion":      ver(func(s *Slot) *Version { return &s.TokVersion }),
}

// str is a setting of at most so many bytes.
func str(most int, field func(*Slot) *string, wrong func(string) string) func(*Slot, kind, string) string {
	return func(s *Slot, k kind, value string) string {
		switch {
		case k != word && k != text:
			return `expected a word, or a text in "quotes"`
		case len(value) > most:
			return fmt.Sprintf("%d bytes; it has at most %d", len(value), most)
		case wrong != nil && wrong(value) != "":
			return wrong(value)
		}
		*field(s) = value
		return ""
	}
}

// ver is a setting of the form major.minor.
func ver(field func(*Slot) *Version) func(*Slot, kind, string) string {
	return func(s *Slot, k kind, value string) string {
		if k == text { // read as sscanf does: what follows does not matter
			value = strings.TrimLeft(value, " \t\n\v\f\r")
			n := span([]byte(value), digit)
			if n < len(value) && value[n] == '.' {
				value = value[:n+1+span([]byte(value[n+1:]), digit)]
			}
		}
		v, ok := parseVersion(value)
		if !ok || k != version && k != text {
			return "expected a version such as 3.12, of two numbers up to 65535"
		}
		*field(s) = v
		return ""
	}
}

// parseVersion reads MAJOR.MINOR.
func parseVersion(s string) (v Version, ok bool) {
	major, minor, _ := strings.Cut(s, ".")
	a, err := strconv.ParseUint(major, 10, 16)
	b, berr := strconv.ParseUint(minor, 10, 16)
	return Version(a<<16 | b), err == nil && berr == nil
}

func confName(value string) string {
	if strings.HasPrefix(value, "/") {
		return ""
	}
	return fileName(value)
}

func tokName(value string) string {
	if value == "HSM_MK_CHANGE" {
		return "this name is the library's own"
	}
	return fileName(value)
}

func fileName(value string) string {
	if value == "." || value == ".." || strings.Contains(value, "/") || strings.Contains(value, "\x00") {
		return `expected the name of a file, without "/"`
	}
	return ""
}
