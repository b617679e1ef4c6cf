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
# with the status of what failed last, or 0.
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
"$python" -c 'import gpuview.frames.writer, gpuview.media.encode.convert' ||
  fail "$python cannot import gpuview, see above" "gpuview with the packages that it needs" \
    "pip install dist/gpuview-*.whl"

mkdir -p "$out"
out=$(cd "$out" && pwd)
cd "$root"

status=0
# Without the project's own options and conftest.py, which need packages that may not be here. A test
# that hangs takes no more than its share of a borrowed machine's time.
run_tests() {
  timeout 900 "$python" -m pytest -c /dev/null --rootdir "$root" --noconftest \
    --import-mode importlib --continue-on-collection-errors -p no:cacheprovider \
    -W ignore::pytest.PytestUnknownMarkWarning -q "$@" || status=$?
}

if "$python" -c 'import pytest' 2>/dev/null; then
  # shellcheck disable=SC2046 # a list of files
  run_tests -m cuda $(grep -lE 'pytest\.mark\.cuda' tests/frames/test_*.py)
else
  echo "gpu.sh: no pytest here, so the CUDA tests are left out" >&2
fi
if "$python" -c 'import hypothesis, pytest, triton' 2>/dev/null; then
  # It runs on the GPU by itself. This profile sets no time limit, which compiling would exceed.
  run_tests --hypothesis-profile ci tests/frames/test_kernel.py
else
  echo "gpu.sh: no hypothesis, pytest or triton here, so test_kernel.py is left out" >&2
fi

"$python" -m benchmarks.frames --out "$out" --command benchmarks/gpu.sh "$@" || status=$?
date=$(date -u +%Y-%m-%d)
for kind in json md; do
  # What was measured before an error is kept.
  [ ! -e "$out/bench-frames-cuda.$kind" ] ||
    mv "$out/bench-frames-cuda.$kind" "$out/bench-frames-cuda-$date.$kind"
done
echo "results: $out/bench-frames-cuda-$date.json; to put them into docs/benchmarks.md:"
echo "  python -m benchmarks.frames --from FILE"
exit "$status"
