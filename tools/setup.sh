#!/bin/sh
# Makes .venv in the project's folder: finds a suitable Python, installs the pinned packages, swaps OpenCV where the
# libraries of a desktop are missing. `make setup` calls it. PYTHON names the Python; empty: the first one that suits.
set -eu

venv=.venv
run=$venv/bin/python
state=$venv/.setup-state # the project's folder once all is done, `incomplete` until then
here=$(pwd -P)

fail() {
    printf '\nSet-up stopped: %s\n' "$1" >&2
    exit 1
}

# A name on PATH may be a shim that only fails, so each candidate is run. Prints the Python behind a virtual environment.
find_python() {
    for candidate in "${PYTHON:-python3}" ${PYTHON:-python3.13 python3.12 python3.11}; do
        if "$candidate" -c 'import sys; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1; then
            "$candidate" -c 'import sys; print(sys._base_executable)'
            return
        fi
    done
    found=$("${PYTHON:-python3}" --version 2>&1) || found="not one that runs"
    fail "Python 3.11 or newer is needed; ${PYTHON:-python3} is $found.
Install one, or name the one to use: make setup PYTHON=path/to/python3.12"
}

make_venv() {
    python=$(find_python)
    "$python" -c 'import ensurepip, venv; ensurepip.version()' >/dev/null 2>&1 ||
        fail "$python cannot make virtual environments. On Debian and Ubuntu: apt install python3-venv"
    mkdir -p $venv
    echo incomplete >$state
    find $venv -mindepth 1 ! -path $state -delete
    echo "Making $venv with $("$python" --version)"
    "$python" -m venv $venv || fail "$python could not make a virtual environment (its reason is above)"
}

install_packages() {
    quiet=
    [ -t 1 ] || quiet=--quiet
    echo "Installing the packages of constraints.txt (PyTorch is among them: this can take minutes)"
    # Without build isolation: no build fetches tools of its own, so an update to versions already here works offline.
    # shellcheck disable=SC2086 # no word when empty
    { "$run" -m pip install $quiet --constraint constraints.txt setuptools &&
        "$run" -m pip install $quiet --constraint constraints.txt --no-build-isolation --use-pep517 --editable '.[dev]'; } ||
        fail "pip could not install the packages; its reason is above.
If it names connections, retries or 'no matching distribution', the package index cannot be reached: check the network
(or pip's proxy and index settings) and run 'make setup' again; what was downloaded is not downloaded twice."
}

# opencv-python needs libGL and its like, which bare servers lack; the headless build is the same without windows.
check_opencv() {
    error=$("$run" -c 'import cv2' 2>&1) && return
    missing=$(printf '%s\n' "$error" | sed -n 's/.*ImportError: \(.*\): cannot open shared object file.*/\1/p')
    [ -n "$missing" ] || fail "OpenCV is installed but cannot be imported: $error"
    version=$(sed -n 's/^opencv-python==//p' constraints.txt)
    echo "This machine has no $missing: replacing opencv-python by opencv-python-headless $version"
    "$run" -m pip uninstall -qq --yes opencv-python opencv-python-headless # both own the folder cv2
    "$run" -m pip install --quiet --no-deps "opencv-python-headless==$version" ||
        fail "pip could not install opencv-python-headless; its reason is above"
    "$run" -c 'import cv2' || fail "OpenCV cannot be imported either way; the reason is above"
}

export PIP_DISABLE_PIP_VERSION_CHECK=1
git --version >/dev/null 2>&1 || fail "git is needed: DVC keeps track of results with it. Install git and try again"
if [ "$(cat $state 2>/dev/null)" = "$here" ] && "$run" -c '' 2>/dev/null; then
    echo incomplete >$state # made here before: bring it up to date
elif [ -e $venv ] && [ ! -e $state ]; then
    fail "the folder $venv is here and 'make setup' did not make it. Move or remove it, then try again"
else
    make_venv # none yet, or an interrupted one, or one whose folder or Python has moved
fi
install_packages
check_opencv
printf '%s\n' "$here" >$state
echo "Set-up complete. To use python and dvc by hand: . $venv/bin/activate"
