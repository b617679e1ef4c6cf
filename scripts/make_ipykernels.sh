#!/bin/sh
# Lay each version of ipykernel that is tested into a folder of its own, anew. A kernel that has one
# first in PYTHONPATH runs it, with everything else from .venv.
set -eu
cd "$(dirname "$0")/.."
echo "installing ipykernel 6.29, 7.1, 7.3 and the newest"
rm -rf .ipykernels
lay() {
  .venv/bin/pip install --quiet --disable-pip-version-check --no-deps --target ".ipykernels/$1" "$2" nest-asyncio
}
for version in 6.29.0 7.1.0 7.3.0; do lay "$version" "ipykernel==$version"; done
lay newest ipykernel
