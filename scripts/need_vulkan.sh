#!/bin/sh
# Get Mesa's Vulkan, which draws on the CPU, for the tests of gpuview.rendercanvas; without it they are skipped.
set -eu
ls /usr/share/vulkan/icd.d/*.json >/dev/null 2>&1 && exit 0
if [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null; then
  echo "no Vulkan driver: some tests are skipped; on Debian: sudo apt-get install mesa-vulkan-drivers" >&2
  exit 0
fi
echo "installing Mesa's Vulkan drivers"
apt-get update -qq
DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends mesa-vulkan-drivers >/dev/null
