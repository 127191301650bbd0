# For tests/run, examples/run and bench/run (sourced, bash): the repository's root, messages, Debian packages, builds.
# shellcheck shell=bash

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
jobs=${ERGO_JOBS:-$(nproc)}
build_packages=(g++ cmake ninja-build zlib1g-dev)
# Options of the command line come from the presets alone, whatever the environment says.
unset CXX CC CXXFLAGS CFLAGS CPPFLAGS LDFLAGS CPATH CPLUS_INCLUDE_PATH

say() { printf '%s\n' "$*"; }
die() {
  printf '%s\n' "$*" >&2
  exit 2
}

# The comment at the head of the calling script is its --help.
print_help() { awk 'NR > 1 && !/^#/ { exit } NR > 1 { sub(/^# ?/, ""); print }' "$0"; }

# Installs those of the named Debian packages that are missing, and says which.
need_packages() {
  local package missing=() sudo=()
  if ! command -v dpkg-query >/dev/null || ! command -v apt-get >/dev/null; then
    say "not a Debian system; make sure that these are installed: $*"
    return
  fi
  for package in "$@"; do
    [[ $(dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null) == installed ]] || missing+=("$package")
  done
  ((${#missing[@]})) || return 0
  if ((EUID != 0)); then
    command -v sudo >/dev/null || die "please install (there is no sudo to do it with): ${missing[*]}"
    sudo=(sudo)
  fi
  say "installing Debian packages: ${missing[*]}"
  local log
  log=$(mktemp)
  if ! {
    "${sudo[@]}" apt-get -o DPkg::Lock::Timeout=300 update -qq &&
      "${sudo[@]}" env DEBIAN_FRONTEND=noninteractive apt-get -o DPkg::Lock::Timeout=300 install -y \
        --no-install-recommends "${missing[@]}"
  } </dev/null >"$log" 2>&1; then
    tail -n 20 "$log" >&2
    rm -f "$log"
    die "could not install: ${missing[*]}"
  fi
  rm -f "$log"
}

# build PRESET [TARGET...]: configures and builds build/PRESET; the output only where something is wrong.
build() {
  local preset=$1 log=$root/build/$1.log
  shift
  mkdir -p "$root/build"
  if ! (cd "$root" && cmake --preset "$preset" && cmake --build --preset "$preset" -j "$jobs" ${1:+--target "$@"}) \
    >"$log" 2>&1; then
    grep -vE '^\[[0-9]+/[0-9]+\] (Building|Linking)|^Preset|^  [A-Z_]*="' "$log" | tail -n 80 >&2
    return 1
  fi
}

# make_cuda_tools [TOOL...]: nvcc, and those named of cuobjdump, nvdisasm and compute-sanitizer; from wheels in
# build/cuda-tools where the machine lacks them. Puts them on the PATH; CUDACXX is the nvcc.
make_cuda_tools() {
  local tools=$root/build/cuda-tools wheels=() tool folder
  for tool in "$@"; do
    command -v "$tool" >/dev/null || wheels+=("nvidia-cuda-${tool/compute-sanitizer/sanitizer-api}")
  done
  CUDACXX=${CUDACXX:-$(command -v nvcc || true)}
  [[ $CUDACXX || ! -x /usr/local/cuda/bin/nvcc ]] || CUDACXX=/usr/local/cuda/bin/nvcc
  [[ $CUDACXX ]] || wheels+=(nvidia-{cuda-nvcc,nvvm,cuda-crt,cuda-runtime,cuda-cccl,cublas})
  if ((${#wheels[@]})); then
    need_packages python3 python3-venv
    [[ -x $tools/bin/pip ]] || /usr/bin/python3 -m venv "$tools"
    if ! "$tools/bin/pip" install --disable-pip-version-check "${wheels[@]/%/>=13}" >"$root/build/cuda-tools.log" 2>&1; then
      tail -n 20 "$root/build/cuda-tools.log" >&2
      return 1
    fi
    for folder in "$tools"/lib/python3*/site-packages/nvidia/*/bin; do
      [[ ! -d $folder ]] || PATH=$PATH:$folder
    done
    [[ $CUDACXX ]] || CUDACXX=$(command -v nvcc)
  fi
  export CUDACXX PATH
}
