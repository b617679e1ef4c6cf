#!/bin/sh
# Make sure that Janus and what the network tests build their internet of is there, where that can be
# done. Elsewhere they are skipped, and say so.
set -eu
packages=""
need() { command -v "$1" >/dev/null || packages="$packages $2"; }
PATH="$PATH:/usr/sbin:/sbin"
need ip iproute2
need iptables iptables
need conntrack conntrack
need sysctl procps
need openssl openssl
need nft nftables
need turnserver coturn
need janus janus
need firefox-esr firefox-esr
need ssh openssh-client
need dropbear dropbear-bin
[ -n "$packages" ] || exit 0
if [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null; then
  echo "the network tests are skipped: they need root and, on Debian: apt-get install$packages" >&2
  exit 0
fi
echo "installing$packages"
apt-get update -qq
DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $packages >/dev/null
