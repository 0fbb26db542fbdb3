"""docs/fleet.md."""

from tests.commands.table import Elsewhere, How, Never

PAGE = "docs/fleet.md"
_RIGHTS = Never("It only says who may read a file that the reader has just made.")
_PACKAGES = Elsewhere("scripts/lib.sh", by="full_packages=(librabbitmq4 libyajl2 rabbitmq-server)")
_BROKER = Elsewhere("tests/integration/test_broker.py", by='commands("rabbitmqctl")')
LINES: dict[str, How] = {
    "chmod 600 /etc/collectd/passwords": _RIGHTS,
    "chmod 600 /etc/collectd/collectd.conf.d/host-*.conf": _RIGHTS,
    "chmod 600 /etc/collectd/collectd.conf.d/*-amqp.conf": _RIGHTS,
    "apt-get install --no-install-recommends rabbitmq-server": _PACKAGES,
    "apt-get install --no-install-recommends librabbitmq4 libyajl2": _PACKAGES,
    "rabbitmqctl add_user hosts change-me-1": _BROKER,
    "rabbitmqctl add_user central change-me-2": _BROKER,
    r"rabbitmqctl set_permissions hosts '^$' '^amq\.fanout$' '^$'": _BROKER,
    r"rabbitmqctl set_permissions central '^collectd$' '^collectd$' '^(collectd|amq\.fanout)$'": _BROKER,
    """rabbitmqctl set_policy --apply-to queues fleet '^collectd$' '{"max-length-bytes": 1000000000}'""": _BROKER,
    "rabbitmqctl delete_user guest": _BROKER,
}
