package cli

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"testing"

	"github.com/spf13/cobra"
)

func TestExitCode(t *testing.T) {
	for _, row := range []struct {
		err  error
		want int
	}{
		{nil, 0},
		{UsageError(nil), 0},
		{io.EOF, 1},
		{errAnswered, 1},
		{UsageError(io.EOF), 2},
		{fmt.Errorf("start: %w", UsageError(io.EOF)), 2},
		{errors.Join(io.EOF, UsageError(io.EOF)), 2},
	} {
		if got := ExitCode(row.err); got != row.want {
			t.Errorf("%v: %d, want %d", row.err, got, row.want)
		}
	}
	if err := UsageError(UsageError(os.ErrNotExist)); !errors.Is(err, os.ErrNotExist) || err.Error() != os.ErrNotExist.Error() {
		t.Errorf("got %v", err)
	}
}

// TestWrapUsageErrors is about commands that this package does not know.
func TestWrapUsageErrors(t *testing.T) {
	failure := errors.New("it broke")
	tree := func() *cobra.Command {
		root := &cobra.Command{Use: "tool", Long: "A tool."}
		group := &cobra.Command{Use: "group", Long: "A group."}
		leaf := &cobra.Command{Use: "leaf FILE", Args: cobra.ExactArgs(1), RunE: func(_ *cobra.Command, args []string) error {
			switch args[0] {
			case "bad":
				return UsageError(errors.New("bad is no file"))
			case "broken":
				return failure
			}
			return nil
		}}
		leaf.Flags().Int("n", 0, "a number")
		leaf.Flags().String("must", "", "required")
		leaf.Flags().Duration("d", 0, "a duration")
		required(leaf, "must")
		group.AddCommand(leaf)
		root.AddCommand(group)
		WrapUsageErrors(root)
		WrapUsageErrors(root) // as for a part of it that was wrapped before
		return root
	}
	for args, want := range map[string]string{
		"":                                 "",
		"group":                            "",
		"group leaf --must=x y":            "",
		"group leaf --help":                "",
		"grup":                             "2 unknown command \"grup\"; did you mean group?|See \"tool --help\".",
		"group lef":                        "2 unknown command \"lef\"; did you mean leaf?|See \"tool group --help\".",
		"group leaf x":                     "2 --must is required|See \"tool group leaf --help\".",
		"group leaf --must=x":              "2 accepts 1 arg(s), received 0|See \"tool group leaf --help\".",
		"group leaf --must=x -z y":         "2 unknown shorthand flag: 'z' in -z|See \"tool group leaf --help\".",
		"group leaf --must=x --n many y":   "2 --n \"many\": must be a whole number|See \"tool group leaf --help\".",
		"group leaf --must=x --d long y":   "2 --d \"long\": time: invalid duration \"long\"|See \"tool group leaf --help\".",
		"group leaf --must=x bad":          "2 bad is no file|See \"tool group leaf --help\".",
		"group leaf --must=x broken":       "1 it broke",
		"group --unknown leaf --must=x ok": "2 unknown flag: --unknown|See \"tool group --help\".",
	} {
		root := tree()
		var out, stderr bytes.Buffer
		root.SetOut(&out)
		root.SetErr(&stderr)
		root.SetArgs(strings.Fields(args))
		err := root.Execute()
		PrintError(&stderr, err)
		got := strings.ReplaceAll(strings.TrimSpace(stderr.String()), "\n", "|")
		if err != nil {
			got = fmt.Sprint(ExitCode(err), strings.TrimPrefix(got, "apikeyd:"))
		}
		equal(t, args, got, want)
		if err != nil && out.Len() > 0 {
			t.Errorf("%s: printed %s", args, out.String())
		}
	}
}
