#!/bin/sh
# Make sure that JupyterHub's proxy is there, in a folder of the project, for the hub tests.
set -eu
cd "$(dirname "$0")/.."
[ -x .hub/node_modules/.bin/configurable-http-proxy ] && exit 0
echo "installing configurable-http-proxy"
npm install --silent --no-save --no-package-lock --prefix .hub "configurable-http-proxy@^5.3.0"
