#!/usr/bin/env bash
# Makes .venv exactly as requirements.txt says, and installs xferkit and xfergrade from this checkout into it.
# Called by make; by hand: bash scripts/setup.sh (PYTHON=python3.12 chooses the interpreter). Its two steps can be
# named: `packages` needs the network, `course` does not.
set -euo pipefail
cd "$(dirname "$0")/.."

python="${PYTHON:-python3}"
venv=.venv
steps="${*:-packages course}"
export UV_PYTHON_DOWNLOADS=never # use the Python that is here

if ! "$python" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' 2>/dev/null; then
  echo "The course needs Python 3.11, 3.12 or 3.13, but '$python' is: $("$python" --version 2>&1 || true)" >&2
  echo "Install one of these and name it, for example: make book PYTHON=python3.12" >&2
  exit 1
fi

if uv="$(command -v uv)"; then
  echo "Setting up with $("$uv" --version)"
else
  uv=.uv/bin/uv
  if [ ! -x "$uv" ]; then
    echo "There is no uv here: installing it into .uv"
    "$python" -m venv .uv
    .uv/bin/python -m pip install --quiet --disable-pip-version-check "uv>=0.8,<1"
  fi
fi

case " $steps " in *" packages "*)
  if [ ! -x "$venv/bin/python" ]; then
    "$uv" venv --quiet --python "$("$python" -c 'import sys; print(sys.executable)')" "$venv"
  fi
  echo "Installing the locked packages into $venv (some gigabytes the first time: PyTorch brings its CUDA libraries)"
  "$uv" pip sync --python "$venv/bin/python" --require-hashes requirements.txt
  ;;
esac

case " $steps " in *" course "*)
  # No build isolation: setuptools is in the lock, so that this step asks for nothing.
  "$uv" pip install --python "$venv/bin/python" --quiet --offline --no-deps --no-build-isolation -e . -e ./grader
  # nbgrader comes with the lock, for instructors, who call it by name; its panels in JupyterLab are none of a reader's.
  "$venv/bin/jupyter" labextension disable --level=sys_prefix @jupyter/nbgrader
  ;;
esac
