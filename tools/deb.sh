#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# tools/deb.sh OUT: makes Debian packages of what git tracks (as it is now, committed or not) and puts them into OUT.
# debian/ is packaging/debian and a changelog of one entry, so that meson.build alone says the version: it comes to be
# in a copy of the tree, build-deb/, where dpkg-buildpackage may write. Without tests: `make test` is for these.
set -euo pipefail
out=$(realpath -m "$1")
cd "$(dirname "$0")/.."
version=$(sed -n "s/^  version: '\(.*\)',$/\1/p" meson.build)
[ -n "$version" ] || { echo "deb.sh: meson.build tells no version" >&2; exit 1; }
SOURCE_DATE_EPOCH=$(git log -1 --format=%ct)
export SOURCE_DATE_EPOCH

rm -rf build-deb
tree=build-deb/gptjt-$version
mkdir -p "$tree" "$out"
git ls-files -z | tar --null -T - -cf - | tar -C "$tree" -xf -
cp -r packaging/debian "$tree/debian"
cat > "$tree/debian/changelog" << END
gptjt ($version) unstable; urgency=medium

  * What git log says, up to $(git log -1 --format=%h).

 -- $(sed -n 's/^Maintainer: //p' packaging/debian/control)  $(date -uR -d "@$SOURCE_DATE_EPOCH")
END

cd "$tree"
DEB_BUILD_OPTIONS="nocheck noautodbgsym ${DEB_BUILD_OPTIONS-}" dpkg-buildpackage -b -us -uc -Pnocheck
cd ..
lintian --fail-on error,warning --allow-root ./*.changes
rm -f "$out"/*gptjt*_"$version"_*.deb
mv ./*.deb "$out"
rm -rf ../build-deb
cd "$out"
du -h ./*.deb
