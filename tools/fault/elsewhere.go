//go:build !(linux && amd64)

package main

import "errors"

// Run says that it cannot.
func (Plan) Run(program string, argv, env []string, files []uintptr) (Report, error) {
	return Report{}, errors.New("programs can be traced only on Linux on amd64")
}
