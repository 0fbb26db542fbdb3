# The scripts share this file. They source it and never run it. It makes the machine ready, and says what it does before
# it does so.

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
python=/usr/bin/python3 # collectd embeds this one, whatever the PATH says
venv=$root/.venv
requirements=$root/requirements-dev.txt

python_packages=(python3 python3-venv)
# A lab with guests, a collectd and storage that hangs, which is a FUSE file system, needs these.
demo_packages=(collectd-core libvirt-clients libvirt-daemon libvirt-daemon-system libxml2 qemu-system-x86
    python3 python3-fusepy python3-libvirt python3-rich)
# The tests also need these: containers show a driver with few calls, the command's words are completed in real shells,
# and live views are watched in a real terminal.
# collectd signs and encrypts with libgcrypt20, which its package only suggests.
# The containers' driver of Debian 12 runs the program ip, but depends on no package that has it.
lab_packages=("${demo_packages[@]}" fish iproute2 libgcrypt20 libvirt-daemon-driver-lxc tmux zsh)
# Dashboards and alerts are tested with the real Prometheus, and pictures with rrdtool, whose library collectd's plugin
# needs as well.
lab_packages+=(prometheus rrdtool)
# Rights are tried with a real polkit, drop-ins are read by a real systemd, and pages tell to use curl and socat.
lab_packages+=(curl dbus polkitd socat systemd)
# Only the long tests need these: a broker, and what collectd's amqp plugin is linked with.
full_packages=(librabbitmq4 libyajl2 rabbitmq-server)
# Only scripts/package needs these, for each kind of package. Those of the deb are the Build-Depends of
# packaging/debian/control.
deb_packages=(debhelper dh-python git pybuild-plugin-pyproject python3 python3-setuptools python3-wheel)
wheel_packages=(git python3 python3-build python3-setuptools python3-wheel)
rpm_packages=("${wheel_packages[@]}" python3-installer rpm)

say() {
    printf '== %s\n' "$*" >&2
}

die() {
    say "$*"
    exit 1
}

# Print which of the given Debian packages are not installed.
missing() {
    local package status
    for package in "$@"; do
        status=$(dpkg-query --show --showformat '${db:Status-Status}' "$package" 2>&1) || status=unknown
        [ "$status" = installed ] || printf '%s\n' "$package"
    done
}

install_packages() {
    local wanted
    mapfile -t wanted < <(missing "$@")
    [ ${#wanted[@]} -gt 0 ] || return 0
    [ "$(id -u)" = 0 ] || die "missing Debian packages; as root: apt-get install --no-install-recommends ${wanted[*]}"
    say "installing Debian packages: ${wanted[*]}"
    export DEBIAN_FRONTEND=noninteractive
    apt-get update --quiet=2
    apt-get install --quiet=2 --yes --no-install-recommends "${wanted[@]}" >&2 </dev/null
}

setup_python() {
    install_packages "${python_packages[@]}"
    local stamp
    stamp="$venv $("$python" --version) $(sha256sum <"$requirements")"
    if [ -f "$venv/stamp" ] && [ "$(cat "$venv/stamp")" = "$stamp" ] && "$venv/bin/python" -c ''; then
        return 0
    fi
    say "making $venv and installing $(basename "$requirements") into it"
    rm -rf "$venv"
    "$python" -m venv --system-site-packages "$venv"
    "$venv/bin/python" -m pip install --quiet --disable-pip-version-check --requirement "$requirements"
    printf '%s\n' "$stamp" >"$venv/stamp"
}

# libpython is only suggested by collectd-core, whose python plugin cannot be loaded without it.
libpython() {
    "$python" -c 'import sys; print("libpython%d.%d" % sys.version_info[:2])'
}

# collectd's plugin write_prometheus is linked with these, which its package only suggests. One of them has another name
# from Debian 13 on.
prometheus_writer() {
    local version
    version=$(source /etc/os-release && printf '%s' "${VERSION_ID:-0}")
    if [ "${version%%.*}" -lt 13 ]; then
        printf '%s\n' libmicrohttpd12
    else
        printf '%s\n' libmicrohttpd12t64
    fi
    printf '%s\n' libprotobuf-c1
}

setup_demo() {
    # The packages' own services belong to whoever runs this host. Labs start a libvirtd of their own.
    install_packages "${demo_packages[@]}"
    install_packages "$(libpython)"
}

setup_lab() {
    local writer
    mapfile -t writer < <(prometheus_writer)
    install_packages "${python_packages[@]}" "${lab_packages[@]}" "${writer[@]}"
    install_packages "$(libpython)"
    setup_python
}

setup_full() {
    setup_lab
    install_packages "${full_packages[@]}"
}
