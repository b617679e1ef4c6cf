#!/bin/sh
# Make the environment of the notebooks other than JupyterLab, anew. In .venv itself they would add
# buttons to the demo. Their kernels find gpuview and PyTorch in .venv.
set -eu
cd "$(dirname "$0")/.."
echo "installing Notebook, Voila and marimo"
.venv/bin/python -m venv --clear --without-pip .venv-hosts
.venv/bin/pip --python .venv-hosts/bin/python install --quiet --disable-pip-version-check --group hosts
packages() { "$1/bin/python" -c 'import sysconfig; print(sysconfig.get_path("purelib"))'; }
echo "import site; site.addsitedir('$(packages .venv)')" >"$(packages .venv-hosts)/project.pth"
