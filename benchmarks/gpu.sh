#!/bin/sh
# Everything that only a GPU can tell: the CUDA tests, then the benchmark.
#
#   benchmarks/gpu.sh [OUT [OPTION...]]    OUT: a folder for the results, ./artifacts if not given
#                                          OPTION: for python -m benchmarks.frames
#
# Needs an NVIDIA GPU, and a Python (PYTHON, else python3) with a CUDA build of PyTorch, gpuview and
# what gpuview needs; no network. What stands in src/ is taken when it has been built (make build), or
# when no gpuview is installed; then there is no widget, and no viewer. Writes
# OUT/bench-frames-cuda-DATE.json and .md, with the card's name, its driver and all versions. Ends
# with the tests' status.
set -eu

root=$(cd "$(dirname "$0")/.." && pwd)
out=${1:-"$root/artifacts"}
[ $# -eq 0 ] || shift
python=${PYTHON:-python3}
export PYTHONPATH="$root${PYTHONPATH:+:$PYTHONPATH}"

fail() {
  echo "gpu.sh: $1" >&2
  echo "  expected: $2" >&2
  echo "  try:      $3" >&2
  exit 1
}

command -v "$python" >/dev/null ||
  fail "there is no $python" "a Python with PyTorch" "PYTHON=/path/to/python benchmarks/gpu.sh"
"$python" -c 'import torch' ||
  fail "$python cannot import torch, see above" "a CUDA build of PyTorch" \
    "PYTHON=/path/to/python benchmarks/gpu.sh"
"$python" -c 'import sys, torch; sys.exit(not torch.cuda.is_available())' ||
  fail "PyTorch sees no NVIDIA GPU here" "a GPU, its driver, and a CUDA build of PyTorch" \
    "nvidia-smi -L; $python -c 'import torch; print(torch.version.cuda)'"
if [ -e "$root/src/gpuview/static/widget.js" ] || ! "$python" -c 'import gpuview' 2>/dev/null; then
  PYTHONPATH="$root/src:$PYTHONPATH"
fi
"$python" -c 'import gpuview.frames.readback, gpuview.media.convert' ||
  fail "$python cannot import gpuview, see above" "gpuview with the packages that it needs" \
    "pip install dist/gpuview-*.whl"

mkdir -p "$out"
out=$(cd "$out" && pwd)
cd "$root"

status=0
if "$python" -c 'import pytest' 2>/dev/null; then
  # Without the project's own options and conftest.py, which need packages that may not be here.
  grep -lE 'pytest\.mark\.cuda' tests/frames/test_*.py | xargs -r \
    "$python" -m pytest -c /dev/null --rootdir "$root" --noconftest --import-mode importlib \
    -p no:cacheprovider -q -m cuda || status=$?
else
  echo "gpu.sh: no pytest here, so the CUDA tests are left out" >&2
fi

"$python" -m benchmarks.frames --out "$out" --command benchmarks/gpu.sh "$@"
date=$(date -u +%Y-%m-%d)
for kind in json md; do
  mv "$out/bench-frames-cuda.$kind" "$out/bench-frames-cuda-$date.$kind"
done
echo "wrote $out/bench-frames-cuda-$date.json; to put it into docs/benchmarks.md:"
echo "  python -m benchmarks.frames --from FILE"
exit "$status"
