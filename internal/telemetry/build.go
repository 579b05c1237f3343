package telemetry

import (
	"runtime"
	"runtime/debug"
)

// Build says which program this is.
type Build struct {
	Version string // "1.2.0"; "devel" where nobody said
	Commit  string // of the source, perhaps cut short, with "-dirty" behind it where the source was changed; "unknown"
	Go      string // that compiled it: "go1.26.8"
}

// ReadBuild returns what is known about the running program. A release is built with a version and a commit; where
// they are empty, what the Go tool noted in the binary is used.
func ReadBuild(version, commit string) Build {
	info, _ := debug.ReadBuildInfo()
	return readBuild(version, commit, info)
}

func readBuild(version, commit string, info *debug.BuildInfo) Build {
	b := Build{Version: version, Commit: commit, Go: runtime.Version()}
	if info == nil {
		info = new(debug.BuildInfo)
	}
	settings := map[string]string{}
	for _, s := range info.Settings {
		settings[s.Key] = s.Value
	}
	if b.Version == "" && info.Main.Version != "(devel)" {
		b.Version = info.Main.Version
	}
	if b.Commit == "" {
		b.Commit = settings["vcs.revision"]
		if b.Commit != "" && settings["vcs.modified"] == "true" {
			b.Commit += "-dirty"
		}
	}
	if b.Version == "" {
		b.Version = "devel"
	}
	if b.Commit == "" {
		b.Commit = "unknown"
	}
	return b
}
