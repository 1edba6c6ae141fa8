# The front of the build; meson and ninja do the work beneath it.
# SPDX-License-Identifier: Apache-2.0
BUILD ?= build
PREFIX ?= /usr/local
DESTDIR ?=
export JOBS

.PHONY: all windows install deps check check-quick unit demo demo-windows bench soak fuzz lint clean

all:
	@tools/build $(BUILD)

# inlay.exe and inlay.sys, in build-windows.
windows:
	@tools/build-windows
	@tools/build-driver

# Settings of the prefix are kept apart from those of the default build: a second install with another prefix is right.
install: all
	@meson configure $(BUILD) -Dprefix=$(PREFIX)
	@DESTDIR=$(DESTDIR) meson install -C $(BUILD) --quiet

deps:
	@tools/install-deps build windows test

check: deps
	@tools/check

check-quick:
	@tools/check lint gcc

unit: all
	@meson test -C $(BUILD) --no-rebuild --print-errorlogs

lint:
	@tests/lint

demo:
	@tools/install-deps build demo
	@tools/build $(BUILD)
	@tools/demo

# The Windows binaries under Wine.
demo-windows:
	@tools/install-deps build windows demo-windows
	@tools/build $(BUILD)
	@tools/build-windows
	@tools/build-driver
	@tools/demo-windows

bench:
	@tools/install-deps build bench
	@tools/build $(BUILD)
	@bench/run

soak:
	@tools/install-deps build test
	@tests/soak/run

fuzz:
	@tools/install-deps build test
	@tests/fuzz/run

clean:
	rm -rf build build-clang build-asan build-tsan build-windows
