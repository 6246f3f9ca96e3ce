package commands

import (
	"os"
	"strconv"

	"github.com/urfave/cli/v2"
)

// Flags that several commands share. A flag's description says what it does,
// and NAME in it what to write after it.

func fileFlag(usage string) cli.Flag {
	return &cli.StringFlag{Name: "file", Aliases: []string{"f"}, Usage: usage}
}

// reportFlags are what every command that works has.
func reportFlags() []cli.Flag {
	return []cli.Flag{
		&cli.BoolFlag{Name: "verbose", Aliases: []string{"v"}, Usage: "say more: names, details, every finding"},
		&cli.BoolFlag{Name: "quiet", Aliases: []string{"q"}, Usage: "errors only, and no names of objects"},
		&cli.BoolFlag{Name: "json", Usage: "one JSON object a line, a summary last"},
		&cli.StringFlag{Name: "json-fd", Usage: "write the JSON to descriptor `N`"},
	}
}

// selectionFlags choose entries.
func selectionFlags() []cli.Flag {
	return []cli.Flag{
		&cli.StringSliceFlag{Name: "files-from", Aliases: []string{"T"}, Usage: "more operands from `FILE`, one a line; - is stdin"},
		&cli.BoolFlag{Name: "null", Usage: "the names in -T FILE end in zero bytes"},
		&cli.StringSliceFlag{Name: "exclude", Usage: "leave out what `PATTERN` matches"},
		&cli.StringSliceFlag{Name: "exclude-from", Aliases: []string{"X"}, Usage: "… each pattern in `FILE`"},
	}
}

func directoryFlag(usage string) cli.Flag {
	return &cli.StringSliceFlag{Name: "directory", Aliases: []string{"C"}, Usage: usage}
}

func jobsFlag() cli.Flag {
	return &cli.StringFlag{Name: "jobs", Usage: "work on `N` batches at once (TOKAR_JOBS; default: the processors)"}
}

// jobs reads --jobs, then TOKAR_JOBS.
func jobs(s *session, c *cli.Context) (int, error) {
	value, from := c.String("jobs"), "--jobs"
	if value == "" {
		value, from = os.Getenv("TOKAR_JOBS"), "TOKAR_JOBS"
	}
	if value == "" {
		return 0, nil
	}
	n, err := strconv.Atoi(value)
	if err != nil || n < 1 || n > 1024 {
		return 0, usagef(s.name, "%s is a number from 1 to 1024, not %s", from, quote(value))
	}
	return n, nil
}

func progressFlag() cli.Flag {
	return &cli.BoolFlag{Name: "progress", Usage: "tell every 30 s how far it is, though stderr is no terminal"}
}

func dryRunFlag() cli.Flag {
	return &cli.BoolFlag{Name: "dry-run", Aliases: []string{"n"}, Usage: "do all but writing"}
}
