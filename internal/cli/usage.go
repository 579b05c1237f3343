package cli

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// The exit codes of every command.
const (
	exitOK     = 0
	exitFailed = 1
	exitUsage  = 2
	exitFound  = 3
)

// ErrFound is the error of a command whose output says what it has found, which is nothing good.
var ErrFound = errors.New("something was found")

// usageError says that a command was called wrongly.
type usageError struct {
	command string // whose help to read: "apikeyd keys create"; "": not known
	err     error
}

func (e *usageError) Error() string { return e.err.Error() }
func (e *usageError) Unwrap() error { return e.err }

// UsageError marks err as wrong usage: exit code 2, and the hint where to read about the right one. Its text may have
// several lines, one for each thing that is wrong.
func UsageError(err error) error {
	if _, already := errors.AsType[*usageError](err); err == nil || already {
		return err
	}
	return &usageError{err: err}
}

func usagef(format string, args ...any) error { return UsageError(fmt.Errorf(format, args...)) }

// ErrFaulty is the error of a command that has told what went wrong, and has gone on all the same.
var ErrFaulty = errors.New("not everything could be done")

// ExitCode returns the exit code of a program whose command returned err: 0 for nil, 2 for wrong usage, 3 for ErrFound,
// else 1.
func ExitCode(err error) int {
	if err == nil {
		return exitOK
	}
	if _, ok := errors.AsType[*usageError](err); ok {
		return exitUsage
	}
	if errors.Is(err, ErrFound) {
		return exitFound
	}
	return exitFailed
}

// WrapUsageErrors makes root and every command below it return UsageErrors for what cobra finds wrong: unknown
// commands and flags, bad values, missing flags, a wrong number of arguments. Errors are returned and no longer
// printed; PrintError prints them. A command that only groups others shows its help when it is called alone, and
// refuses a subcommand it does not have.
//
// Call it when the tree is complete. Calling it again does no harm.
func WrapUsageErrors(root *cobra.Command) {
	root.SilenceErrors = true
	root.SilenceUsage = true
	root.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error { return usageOf(cmd, UsageError(flagError(err))) })
	if root.HasSubCommands() && !root.Runnable() {
		root.Args = knownSubcommand
		root.RunE = func(cmd *cobra.Command, _ []string) error { return cmd.Help() }
	}
	check, run := root.Args, root.RunE
	root.Args = func(cmd *cobra.Command, args []string) error {
		if check != nil {
			if err := check(cmd, args); err != nil {
				return usageOf(cmd, UsageError(err))
			}
		}
		return usageOf(cmd, UsageError(missingFlags(cmd)))
	}
	if run != nil {
		root.RunE = func(cmd *cobra.Command, args []string) error { return usageOf(cmd, run(cmd, args)) }
	}
	for _, sub := range root.Commands() {
		WrapUsageErrors(sub)
	}
}

// usageOf notes in a usage error whose usage was wrong.
func usageOf(cmd *cobra.Command, err error) error {
	if u, ok := errors.AsType[*usageError](err); ok {
		u.command = cmd.CommandPath()
	}
	return err
}

// flagError puts pflag's error about a value into the order in which one reads it: what was given, what is right.
func flagError(err error) error {
	bad, ok := errors.AsType[*pflag.InvalidValueError](err)
	if !ok {
		return err
	}
	cause := bad.Unwrap()
	switch bad.GetFlag().Value.Type() { // whose errors name functions of Go
	case "bool":
		cause = errors.New("must be true or false")
	case "int":
		cause = errors.New("must be a whole number")
	}
	return fmt.Errorf("--%s %q: %w", bad.GetFlag().Name, bad.GetValue(), cause)
}

func knownSubcommand(cmd *cobra.Command, args []string) error {
	if len(args) == 0 {
		return nil
	}
	text := fmt.Sprintf("unknown command %q", args[0])
	cmd.SuggestionsMinimumDistance = max(2, cmd.SuggestionsMinimumDistance)
	if near := cmd.SuggestionsFor(args[0]); len(near) > 0 {
		text += fmt.Sprintf("; did you mean %s?", near[0])
	}
	return errors.New(text)
}

// missingFlags returns an error that names all required flags that were not given.
func missingFlags(cmd *cobra.Command) error {
	var missing []string
	cmd.Flags().VisitAll(func(f *pflag.Flag) {
		if required := f.Annotations[cobra.BashCompOneRequiredFlag]; slices.Contains(required, "true") && !f.Changed {
			missing = append(missing, "--"+f.Name)
		}
	})
	switch len(missing) {
	case 0:
		return nil
	case 1:
		return fmt.Errorf("%s is required", missing[0])
	default:
		return fmt.Errorf("%s are required", sentence(missing, "and"))
	}
}

// sentence joins words as one says them: "a, b and c".
func sentence(words []string, conjunction string) string {
	if len(words) < 2 {
		return strings.Join(words, "")
	}
	last := len(words) - 1
	return strings.Join(words[:last], ", ") + " " + conjunction + " " + words[last]
}

// exclusive refuses more than one of the named flags.
func exclusive(cmd *cobra.Command, names ...string) error {
	var given []string
	for _, name := range names {
		if cmd.Flags().Changed(name) {
			given = append(given, "--"+name)
		}
	}
	if len(given) > 1 {
		return usagef("%s exclude each other; give one of them", sentence(given, "and"))
	}
	return nil
}

// arguments requires between least and most arguments; most 0 means any number. what names one: "KEY_ID".
func arguments(what string, least, most int) cobra.PositionalArgs {
	return func(_ *cobra.Command, args []string) error {
		switch {
		case len(args) < least:
			return fmt.Errorf("%s is missing", what)
		case most > 0 && len(args) > most:
			return fmt.Errorf("one %s is enough; %q is one too many", what, args[most])
		}
		return nil
	}
}

// exactly requires one argument for each name.
func exactly(names ...string) cobra.PositionalArgs {
	return func(_ *cobra.Command, args []string) error {
		switch {
		case len(args) < len(names):
			return fmt.Errorf("%s is missing", names[len(args)])
		case len(args) > len(names):
			return fmt.Errorf("%s are enough; %q is one too many", sentence(names, "and"), args[len(names)])
		}
		return nil
	}
}

// required marks flags as required, for the help, completion and missingFlags.
func required(cmd *cobra.Command, names ...string) {
	for _, name := range names {
		if err := cmd.MarkFlagRequired(name); err != nil {
			panic(err) // a flag that the command does not have
		}
	}
}
