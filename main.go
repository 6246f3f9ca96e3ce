// tokar is tar for cryptographic tokens.
package main

import (
	"os"

	"tokar/commands"
)

func main() { os.Exit(commands.Main(os.Args)) }
