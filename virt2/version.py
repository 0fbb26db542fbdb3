"""The version of virt2, kept here alone: packaging reads it, the start-up log line prints it."""

VERSION = "0.2.0"
