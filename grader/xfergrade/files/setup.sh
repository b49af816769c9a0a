#!/usr/bin/env bash
# Runs once, as root, when Gradescope builds the image: the isolation, and Python with the packages that grading needs.
set -eu
umask 022
source="${AUTOGRADER_ROOT:-/autograder}/source"
env="${XFERGRADE_ENV:-/opt/xfergrade}"
export DEBIAN_FRONTEND=noninteractive UV_PYTHON_INSTALL_DIR=/opt/python UV_NO_CACHE=1
apt-get update
apt-get install -y --no-install-recommends python3-venv ca-certificates
apt-get install -y --no-install-recommends bubblewrap || echo "no bubblewrap: --isolation user will be used"
python3 -m venv "$env-uv"
"$env-uv/bin/pip" install uv
"$env-uv/bin/uv" venv --clear --python ">=3.11,<3.14" "$env"
install() { VIRTUAL_ENV="$env" "$env-uv/bin/uv" pip install "$@" -r "$source/requirements.txt"; }
install --torch-backend cpu || install
if [ -d "$source/packages" ]; then cp -R "$source/packages/." "$env"/lib/python3*/site-packages/; fi
