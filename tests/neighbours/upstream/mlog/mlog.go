// Package mlog has what upstream's webhook and proxy use of monis.app/mlog, written for these tests: not every module
// proxy serves that module. It changes nothing but upstream's log.
package mlog

import (
	"context"
	"fmt"
	"os"
	"slices"

	"github.com/go-logr/logr"
	"github.com/go-logr/logr/funcr"
)

type (
	LogLevel  string
	LogFormat string
	LogSpec   struct {
		Level  LogLevel
		Format LogFormat
	}
)

const (
	LevelWarning LogLevel = ""
	LevelInfo    LogLevel = "info"
	LevelDebug   LogLevel = "debug"
	LevelTrace   LogLevel = "trace"
	LevelAll     LogLevel = "all"

	FormatJSON LogFormat = "json"
)

// In the order of their verbosity.
var levels = []LogLevel{LevelWarning, LevelInfo, LevelDebug, LevelTrace, LevelAll}

var current = 0

func write(line string) { fmt.Fprintln(os.Stderr, line) }

func Setup() func() { return func() {} }

func ValidateAndSetLogLevelAndFormatGlobally(_ context.Context, spec LogSpec) error {
	level := slices.Index(levels, spec.Level)
	if level < 0 {
		return fmt.Errorf("unknown level %q", spec.Level)
	}
	current = level
	return nil
}

func Enabled(level LogLevel) bool { return slices.Index(levels, level) <= current }

// Logr is a logger whose V(0) is the level info. Errors are always written.
func Logr() logr.Logger {
	return funcr.NewJSON(write, funcr.Options{Verbosity: current - 1})
}

type Logger interface {
	Info(message string, pairs ...any)
	Error(message string, err error, pairs ...any)
	WithName(name string) Logger
	WithValues(pairs ...any) Logger
}

type logger struct {
	name  string
	pairs []any
}

func New() Logger { return logger{} }

// The level may be set after a logger is made.
func (l logger) logr() logr.Logger { return Logr().WithName(l.name).WithValues(l.pairs...) }

func (l logger) Info(message string, pairs ...any) { l.logr().Info(message, pairs...) }

func (l logger) Error(message string, err error, pairs ...any) {
	l.logr().Error(err, message, pairs...)
}

func (l logger) WithName(name string) Logger { return logger{name, l.pairs} }

func (l logger) WithValues(pairs ...any) Logger {
	return logger{l.name, append(slices.Clone(l.pairs), pairs...)}
}

func Info(message string, pairs ...any) { New().Info(message, pairs...) }

func Fatal(err error) {
	write(err.Error())
	os.Exit(1)
}
