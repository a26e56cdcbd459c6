# SPDX-License-Identifier: Apache-2.0
# A thin front of meson. BUILDTYPE=debug, PREFIX=/usr, CC=clang and MESON_FLAGS=-Dname=value are passed on.
OPTIONS = $(if $(BUILDTYPE),-Dbuildtype=$(BUILDTYPE)) $(if $(PREFIX),-Dprefix=$(PREFIX)) $(MESON_FLAGS)
SANITIZE = -Dbuildtype=debugoptimized -Db_lundef=false -Db_sanitize

build: ; tools/setup.sh --check && tools/build.sh build $(OPTIONS)
setup: ; tools/setup.sh
demo: setup build ; tools/demo.sh build/gptjt
test: setup build ; tools/test.sh build
install: build ; meson install -C build --no-rebuild
dist: # a folder that runs where nothing is installed; EXTRA="build-dist/tests/test_ops ..." puts more programs into it
	tools/setup.sh build dist
	tools/build.sh build-dist $(OPTIONS) -Dmpi=disabled
	tools/dist.sh dist build-dist/gptjt $(EXTRA)
deb: # Debian packages: program, library, headers, the small model
	tools/setup.sh build deb
	tools/deb.sh dist
wheel: # of the Python package, with libgptjt.so and what it needs
	tools/setup.sh build wheel
	tools/wheel.sh dist
check-packages: deb dist # all of it, and the container's steps, in clean roots; needs root and the network
	tools/setup.sh roots
	tools/check_packages.sh dist

asan: setup
	tools/build.sh build-asan $(SANITIZE)=address,undefined $(MESON_FLAGS)
	tools/test.sh build-asan
tsan: setup
	tools/build.sh build-tsan $(SANITIZE)=thread $(MESON_FLAGS)
	tools/test.sh build-tsan --suite threads
check-long: build # kill -9 in a loop, then each fuzz target for FUZZ_SECONDS, ten minutes unless told otherwise
	tools/setup.sh build fuzz
	tools/kill_loop.sh build/gptjt
	CC=clang tools/build.sh build-fuzz -Dfuzz=libfuzzer $(SANITIZE)=address,undefined
	tools/fuzz.sh build-fuzz
lint:
	tools/setup.sh build lint
	tools/lint.sh
format: ; tools/setup.sh lint && git ls-files '*.c' '*.h' '*.cu' '*.cuh' | xargs clang-format -i
clean: ; rm -rf dist build build-deb build-dist build-asan build-tsan build-fuzz build-lint-gcc build-lint-clang

.PHONY: build setup demo test install dist deb wheel check-packages asan tsan check-long lint format clean
.NOTPARALLEL:
