#!/bin/sh
# Installs the servers that the tests act upon, from the packages of Debian, where this machine lets us; else says
# what is missing. None of them is started: a package is told that services are not wanted here.
set -eu
cd "$(dirname "$0")/../.."
wanted=$(sed 's/#.*//' tests/real/debian.txt)
missing=""
for each in $wanted; do
    test "$(dpkg-query -W -f '${db:Status-Status}' "$each" 2>/dev/null)" = installed || missing="$missing $each"
done
test -n "$missing" || exit 0
if test "$(id -u)" != 0 || ! command -v apt-get >/dev/null; then
    echo "NOT COVERED HERE: on Debian as root these packages let more be tested:$missing" >&2
    exit 0
fi
echo "Installing the servers that the tests act upon:$missing"
if test ! -e /usr/sbin/policy-rc.d; then
    printf '#!/bin/sh\nexit 101\n' >/usr/sbin/policy-rc.d
    chmod +x /usr/sbin/policy-rc.d
    trap 'rm -f /usr/sbin/policy-rc.d' EXIT
fi
# CrowdSec's package registers with its makers' service unless it finds this file, and fails without a network.
mkdir -p /etc/crowdsec
test -e /etc/crowdsec/online_api_credentials.yaml || echo '# no central service' >/etc/crowdsec/online_api_credentials.yaml
export DEBIAN_FRONTEND=noninteractive
apt-get update -qq
# shellcheck disable=SC2086 - a list of names
apt-get install -y -qq --no-install-recommends $missing >/dev/null
