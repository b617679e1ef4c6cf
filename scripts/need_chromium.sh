#!/bin/sh
# Make sure that Debian's Chromium is there, which the browser tests drive.
set -eu
[ -x /usr/bin/chromium ] && exit 0
if [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null; then
  echo "the browser tests need /usr/bin/chromium; on Debian: sudo apt-get install chromium" >&2
  exit 1
fi
echo "installing chromium"
apt-get update -qq
DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends chromium fonts-dejavu-core >/dev/null
