#!/bin/sh
# Installs Gate on a Debian-like machine with systemd, and takes it away again.
#
#   make dist                            the wheel and its pinned requirements, in dist/
#   sudo config/install.sh               a gate: /opt/gate, /etc/gate/gate.yaml, gate.service
#   sudo config/install.sh --registry    a filing registry beside it, or alone with --no-gate
#   sudo config/install.sh --uninstall   takes away the program, the units and the users' services
#   ... --uninstall --purge              and settings, secrets, state and users as well
#
# Run it again to install a newer wheel: settings, secrets and state stay as they are. It starts
# nothing: it says which commands do. --root DIR installs below DIR, for images and for a dry look.
set -eu

prefix=/opt/gate
root=
dist=
gate=yes
registry=no
uninstall=no
purge=no
python=${PYTHON:-python3}
here=$(cd "$(dirname "$0")" && pwd)

die() {
    echo "install.sh: $*" >&2
    exit 2
}

usage() {
    sed -n '2,12s/^# \{0,1\}//p' "$0"
    echo
    echo "Options: --registry --no-gate --dist DIR --root DIR --uninstall --purge --help"
}

while [ $# -gt 0 ]; do
    case $1 in
        --registry) registry=yes ;;
        --no-gate) gate=no ;;
        --dist) [ $# -gt 1 ] || die "--dist needs a folder"; dist=$2; shift ;;
        --root) [ $# -gt 1 ] || die "--root needs a folder"; root=${2%/}; shift ;;
        --uninstall) uninstall=yes ;;
        --purge) purge=yes ;;
        --help | -h) usage; exit 0 ;;
        *) die "unknown option $1; --help lists them" ;;
    esac
    shift
done
[ "$(id -u)" = 0 ] || die "must be run as root: sudo $0"
[ $purge = no ] || [ $uninstall = yes ] || die "--purge goes with --uninstall"

units=$root/etc/systemd/system
settings=$root/etc/gate

systemd() { # only where systemd runs and this is its machine
    [ -n "$root" ] || [ ! -d /run/systemd/system ] || systemctl "$@"
}

# --- Taking it away

if [ $uninstall = yes ]; then
    for unit in gate.service gate-registry.service; do
        [ -e "$units/$unit" ] || continue
        systemd disable --quiet --now "$unit"
        rm -f "$units/$unit"
    done
    systemd daemon-reload
    rm -f "$root/usr/local/bin/gate"
    rm -rf "$root$prefix"
    if [ $purge = yes ]; then
        rm -rf "$settings" "$root/var/lib/gate" "$root/var/lib/gate-registry"
        if [ -z "$root" ]; then
            for user in gate gate-registry; do
                if id "$user" >/dev/null 2>&1; then userdel "$user"; fi
            done
        fi
        echo "Gate is gone, with its settings, secrets and state."
    else
        echo "Gate is gone. Its settings ($settings) and state ($root/var/lib/gate*) are still there;"
        echo "--uninstall --purge takes them away as well."
    fi
    exit 0
fi

# --- What is needed

[ $gate = yes ] || [ $registry = yes ] || die "nothing to install: --no-gate goes with --registry"
"$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null ||
    die "Python 3.11 or later is needed as $python; name another one: PYTHON=python3.12 $0"
"$python" -c 'import ensurepip, venv' 2>/dev/null ||
    die "Python's venv module is missing: apt-get install python3-venv"
dist=${dist:-$here/../dist}
wheel=$(find "$dist" -maxdepth 1 -name 'filing_gate-*.whl' 2>/dev/null | sort | tail -n 1)
[ -n "$wheel" ] || die "no wheel in $dist; make one first: make dist"
[ -e "$dist/requirements.txt" ] || die "no requirements.txt beside $wheel; make both: make dist"

# --- Users: each service its own, without a shell

add_user() {
    if ! id "$1" >/dev/null 2>&1; then
        useradd --system --user-group --home-dir "/var/lib/$1" --no-create-home \
            --shell /usr/sbin/nologin "$1"
    fi
}
add_user gate
if [ $registry = yes ]; then add_user gate-registry; fi

# --- The program: an environment of its own, made beside the old one and put in its place

fresh=$root$prefix.new
rm -rf "$fresh"
mkdir -p "$root$(dirname "$prefix")"
"$python" -m venv "$fresh"
"$fresh/bin/python" -m pip install --quiet --disable-pip-version-check --require-hashes \
    --no-compile -r "$dist/requirements.txt"
"$fresh/bin/python" -m pip install --quiet --disable-pip-version-check --no-deps --no-compile "$wheel"
# Scripts name the interpreter by its path: that of the place where they will stand.
grep -rlI "$fresh" "$fresh/bin" "$fresh/pyvenv.cfg" | xargs sed -i "s#$fresh#$prefix#g"
"$fresh/bin/python" -m compileall -q "$fresh/lib"
chmod -R a+rX "$fresh"
rm -rf "$root$prefix.old"
if [ -d "$root$prefix" ]; then mv "$root$prefix" "$root$prefix.old"; fi
mv "$fresh" "$root$prefix"
rm -rf "$root$prefix.old"
mkdir -p "$root/usr/local/bin"
ln -sf "$prefix/bin/gate" "$root/usr/local/bin/gate"

# --- Settings and secrets: made once, never overwritten

secret() { # a token of 256 bits that root alone can read; systemd hands it to the service
    if [ ! -e "$settings/credentials/$1" ]; then
        (umask 077 && "$python" -c 'import secrets; print(secrets.token_hex(32))' \
            >"$settings/credentials/$1")
    fi
}
install -d -m 0755 "$settings"
install -d -m 0700 "$settings/credentials"
secret admin.token
if [ $gate = yes ]; then
    if [ ! -e "$settings/gate.yaml" ]; then
        install -m 0640 -g gate "$here/systemd/gate.yaml" "$settings/gate.yaml"
    fi
    install -d -m 0700 -o gate -g gate "$root/var/lib/gate"
fi
if [ $registry = yes ]; then
    if [ ! -e "$settings/registry.yaml" ]; then
        install -m 0640 -g gate-registry "$here/systemd/registry.yaml" "$settings/registry.yaml"
    fi
    install -d -m 0700 -o gate-registry -g gate-registry "$root/var/lib/gate-registry"
fi

# --- Units

mkdir -p "$units"
if [ $gate = yes ]; then install -m 0644 "$here/systemd/gate.service" "$units/gate.service"; fi
if [ $registry = yes ]; then
    install -m 0644 "$here/systemd/gate-registry.service" "$units/gate-registry.service"
fi
systemd daemon-reload

echo "Installed $("$root$prefix/bin/python" -c 'from gate import __version__; print("Gate", __version__)')."
echo
if [ $registry = yes ]; then
    cat <<TEXT
The registry:
  1. Look at $settings/registry.yaml: the database, and the provider's name in filings.
  2. systemctl enable --now gate-registry
  3. Its first token, and one for each gate:
     runuser -u gate-registry -- gate registry token new ops --role admin --db /var/lib/gate-registry/registry.db
TEXT
fi
if [ $gate = yes ]; then
    cat <<TEXT
The gate:
  1. Set the origins and the notice page's address in $settings/gate.yaml, and either
     sync: with the registry's address, or fill it from a list as in step 3.
  2. runuser -u gate -- gate config check -c $settings/gate.yaml
  3. runuser -u gate -- gate import -c $settings/gate.yaml filed.csv     (without a registry)
  4. systemctl enable --now gate
  5. gate status -c $settings/gate.yaml
TEXT
fi
