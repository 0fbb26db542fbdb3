"""Which daemon, host and folders belong to a connection URI."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from tests.unit.sources.test_procfs import Host
from virt2.sources import daemon
from virt2.sources.daemon import DAEMONS, Daemon, Place, Server, admin_servers, place

SYSTEM = Place(("libvirtd",), "/run/libvirt", "/run", "/run/libvirt/qemu", "")
ENVIRON = {"XDG_RUNTIME_DIR": "/run/user/1000"}


@pytest.fixture(autouse=True)
def user(monkeypatch):
    """Not root, whose sessions differ."""
    monkeypatch.setattr("os.geteuid", lambda: 1000)


def there(uri: str, *sockets: str) -> Place:
    """Where the daemon is on a host that has these sockets."""
    return place(uri, environ=ENVIRON, exists=lambda path: path in sockets)


@pytest.mark.parametrize(
    ("sockets", "daemons"),
    [
        pytest.param(["libvirt-sock-ro", "libvirt-sock"], ("libvirtd",), id="the one for everything"),
        pytest.param(["virtqemud-sock-ro", "virtqemud-sock"], ("virtqemud",), id="split"),
        # RHEL 9 and Fedora: the common sockets are those of virtproxyd.
        pytest.param(["libvirt-sock-ro", "virtqemud-sock-ro"], ("virtqemud",), id="split, with the proxy"),
        pytest.param(["libvirt-sock", "virtnetworkd-sock", "virtlxcd-sock"], ("libvirtd",), id="another driver's"),
        pytest.param([], ("virtqemud", "libvirtd"), id="none yet"),
    ],
)
@pytest.mark.parametrize("uri", ["qemu:///system", "qemu+unix:///system", "qemu:///", "qemu:///system?mode=auto"])
def test_the_daemon_is_the_one_libvirts_own_client_connects_to(uri, sockets, daemons):
    assert there(uri, *(f"/run/libvirt/{name}" for name in sockets)) == SYSTEM._replace(daemons=daemons)


@pytest.mark.parametrize(("mode", "name"), [("direct", "virtqemud"), ("legacy", "libvirtd")])
def test_the_mode_says_which_whatever_sockets_there_are(mode, name):
    sockets = ("/run/libvirt/libvirt-sock", "/run/libvirt/virtqemud-sock")
    assert there(f"qemu:///system?mode={mode}", *sockets).daemons == (name,)


@pytest.mark.parametrize(("driver", "name"), sorted(DAEMONS.items()))
def test_each_driver_has_its_own_split_daemon_and_only_qemu_a_folder_of_qemus(driver, name):
    found = there(f"{driver}:///system", f"/run/libvirt/{name}-sock")
    assert found.daemons == (name,)
    assert found.qemu_run_dir == ("/run/libvirt/qemu" if driver == "qemu" else "")


@pytest.mark.parametrize(
    ("environ", "folder"),
    [
        ({"XDG_RUNTIME_DIR": "/run/user/7", "XDG_CACHE_HOME": "/other"}, "/run/user/7/libvirt"),
        ({"XDG_CACHE_HOME": "/home/me/cache"}, "/home/me/cache/libvirt"),
    ],
    ids=["runtime", "cache"],
)
def test_a_session_is_the_users_own(environ, folder):
    found = place("qemu:///session", environ=environ, exists=lambda path: path == f"{folder}/libvirt-sock")
    assert found == Place(("libvirtd",), folder, folder, f"{folder}/qemu/run", "")


@pytest.mark.parametrize(("user", "folder"), [(0, "/run/libvirt"), (1000, "/run/user/1000/libvirt")])
def test_no_uri_means_libvirts_default_for_the_user(user, folder, monkeypatch):
    monkeypatch.setattr("os.geteuid", lambda: user)
    assert there("").sockets == folder


@pytest.mark.parametrize(
    ("uri", "words"),
    [
        ("qemu+ssh://root@host/system", "served over the network"),
        ("qemu+ssh:///system", "served over the network"),
        ("qemu+tls:///system", "served over the network"),
        ("qemu+ext:///system?command=/x", "served over the network"),
        ("qemu+libssh2://host/system", "served over the network"),
        ("qemu+tcp://127.0.0.1/system", "served over the network"),
        ("qemu://host/system", "served over the network"),
        ("test:///default", "not served by a libvirt daemon"),
        ("esx:///x", "not served by a libvirt daemon"),
        ("qemu:///embed?root=/x", "not served by a libvirt daemon"),
        ("my-alias", "not served by a libvirt daemon"),
        ("qemu://[::1/system", "not a URI"),
    ],
)
def test_what_is_elsewhere_has_nothing_of_this_host(uri, words):
    found = there(uri)
    assert found[:4] == ((), "", "", "")
    assert words in found.reason
    assert daemon.identify(found) is None


@pytest.mark.parametrize("name", ["libvirt-sock-ro", "virtqemud-sock", "sock"])
def test_a_socket_of_another_folder_may_be_that_of_another_host(name):
    found = there(f"qemu+unix:///system?no_verify=1&socket=/a%20b+c%26d/{name}")
    assert (found.sockets, found.pid_files, found.qemu_run_dir) == ("/a b+c&d", "", "")
    assert "names a socket" in found.reason
    assert daemon.identify(found) is None


def test_a_socket_in_the_usual_folder_is_that_of_this_host(tmp_path):
    (tmp_path / "run" / "libvirt").mkdir(parents=True)
    (tmp_path / "var").symlink_to(tmp_path)
    for folder in ("run", "var/run"):
        uri = f"qemu:///system?socket={tmp_path}/{folder}/libvirt/virtqemud-sock"
        found = place(uri, run_dir=f"{tmp_path}/run")
        assert (found.daemons, found.reason) == (("virtqemud",), "")
        assert found.qemu_run_dir == f"{tmp_path}/run/libvirt/qemu"


class TestAdmin:
    """Where limits are asked for."""

    def servers(self, uri: str, *names: str) -> tuple[Server, ...]:
        """On a host that has these sockets."""
        found, reason = admin_servers(
            uri, environ=ENVIRON, exists=lambda path: path.rpartition("/")[2] in names and path.startswith("/run/")
        )
        assert bool(found) != bool(reason)
        return found

    @pytest.mark.parametrize(
        ("sockets", "name"),
        [
            (["libvirt-sock", "libvirt-admin-sock"], "libvirtd"),
            (["virtqemud-sock", "virtqemud-admin-sock"], "virtqemud"),
            (["libvirt-sock", "libvirt-admin-sock", "virtqemud-sock", "virtqemud-admin-sock"], "virtqemud"),
        ],
        ids=["the one for everything", "split", "split, with the proxy"],
    )
    def test_the_one_who_serves_us_is_asked_and_nobody_else(self, sockets, name):
        prefix = "libvirt" if name == "libvirtd" else name
        assert self.servers("qemu:///system", *sockets) == (Server(f"/run/libvirt/{prefix}-admin-sock", name),)

    def test_while_no_daemon_listens_either_may_be_the_one(self):
        found = self.servers("qemu:///system", "libvirt-admin-sock", "virtqemud-admin-sock")
        assert [server.name for server in found] == ["virtqemud", "libvirtd"]

    def test_it_is_next_to_the_socket_of_the_connection(self):
        uri = "qemu+unix:///system?socket=/run/elsewhere/libvirt-sock"
        assert self.servers(uri, "libvirt-admin-sock") == (Server("/run/elsewhere/libvirt-admin-sock", "libvirtd"),)

    def test_a_users_own_is_asked_for_a_session(self):
        expected = Server("/run/user/1000/libvirt/libvirt-admin-sock", "libvirtd")
        assert self.servers("qemu:///session", "libvirt-sock", "libvirt-admin-sock") == (expected,)
        assert self.servers("libvirtd:///session") == (expected,)

    @pytest.mark.parametrize(
        ("uri", "expected"),
        [
            ("libvirtd:///system", Server("/run/libvirt/libvirt-admin-sock", "libvirtd")),
            ("virtqemud:///system", Server("/run/libvirt/virtqemud-admin-sock", "virtqemud")),
            ("virtqemud:///system?socket=/some/where", Server("/some/where", "virtqemud")),
        ],
    )
    def test_an_admin_uri_means_that_daemon_only(self, uri, expected):
        assert self.servers(uri, "libvirt-sock", "virtqemud-sock") == (expected,)


@pytest.fixture
def host(tmp_path: Path) -> Host:
    return Host(tmp_path)


def system(host: Host, *names: str) -> Place:
    return Place(names or ("virtqemud", "libvirtd"), "", str(host.run_dir), "", "")


@pytest.mark.parametrize("name", ["libvirtd", "virtqemud"])
def test_the_daemon_is_identified_by_name_pid_and_start(name, host):
    host.process(12, start=500, comm=name.encode())
    host.pid_file(name, "12\n")
    before = daemon.identify(system(host), str(host.proc))
    assert before == Daemon(name, 12, 500)
    host.process(12, start=501, comm=name.encode())
    assert daemon.identify(system(host), str(host.proc)) not in (before, None)


def test_a_stale_pid_file_of_one_daemon_does_not_hide_the_other(host):
    host.process(12, comm=b"bash")
    host.pid_file("libvirtd", 12)
    host.process(13, comm=b"virtqemud")
    host.pid_file("virtqemud", 13)
    assert daemon.identify(system(host), str(host.proc)) == Daemon("virtqemud", 13, 900)


def test_another_daemon_of_this_host_is_not_the_one(host):
    host.process(12, comm=b"libvirtd")
    host.pid_file("libvirtd", 12)
    assert daemon.identify(system(host, "virtqemud"), str(host.proc)) is None


@pytest.mark.parametrize("content", [None, "12", "x"])
def test_no_daemon_is_unknown(content, host):
    if content:
        host.pid_file("libvirtd", content)
    assert daemon.identify(system(host), str(host.proc)) is None


def test_root_has_no_session_its_client_connects_to_the_systems_daemon(monkeypatch):
    # Seen with libvirt 9.0: the list of qemu:///session is that of qemu:///system then.
    monkeypatch.setattr("os.geteuid", lambda: 0)
    assert there("qemu:///session", "/run/libvirt/libvirt-sock-ro") == SYSTEM
    assert place("libvirtd:///session", environ=ENVIRON).sockets == "/run/user/1000/libvirt"


@pytest.mark.parametrize(
    ("query", "daemons"),
    [
        ("socket=/run/libvirt/virtqemud-sock", ("virtqemud",)),
        ("SOCKET=/run/libvirt/libvirt-sock-ro;no_verify=1", ("libvirtd",)),
        ("no_verify=1;Socket=/nowhere&socket=%2Frun%2Flibvirt%2Flibvirt-sock", ("libvirtd",)),
        ("Mode=legacy", ("libvirtd",)),
    ],
)
def test_parameters_are_read_as_libvirt_reads_them(query, daemons):
    # Seen with libvirt 9.0: names in any case, & and ; alike, the last one counts.
    found = there(f"qemu:///system?{query}", "/run/libvirt/virtqemud-sock-ro")
    assert (found.daemons, found.reason) == (daemons, "")


@pytest.mark.parametrize("name", ["forwarded", "libvirt-sock-of-another-host", "libvirt-admin-sock", "virtlxcd-sock"])
def test_a_socket_no_daemon_of_this_host_makes_may_be_forwarded_even_in_the_usual_folder(name):
    uri = f"qemu:///system?socket=/run/libvirt/{name}"
    found = there(uri)
    assert (found.daemons, found.pid_files, found.qemu_run_dir) == ((), "", "")
    assert "names a socket" in found.reason
    # The admin sockets in that folder are of this host's daemons.
    assert admin_servers(uri, exists=lambda path: True)[0] == ()


@pytest.mark.parametrize(
    ("uri", "words"),
    [
        ("lxc:///system", "has no QEMUs"),
        ("xen:///", "has no QEMUs"),
        # Seen with libvirt 9.0: these are the containers of lxc:///.
        ("qemu:///system?name=lxc:///", "open another URI"),
    ],
)
def test_a_daemon_of_this_host_without_qemus_is_still_known_but_no_qemu_is_looked_for(uri, words):
    found = there(uri, "/run/libvirt/libvirt-sock")
    assert (found.daemons, found.pid_files, found.qemu_run_dir) == (("libvirtd",), "/run", "")
    assert words in found.reason


class TestAliases:
    """What libvirt's client calls a URI by."""

    CONFIG = """
#uri_aliases = ["no=qemu:///no"]
uri_default = "qemu:///system"
uri_aliases = [
  "away=qemu+tls://[::1]/system?x=a#b", # not "home=qemu:///not"
  'home=qemu+unix:///system?socket=/run/libvirt/libvirt-sock'
]
"""

    @pytest.fixture
    def config(self, tmp_path: Path) -> str:
        (tmp_path / "libvirt").mkdir()
        (tmp_path / "libvirt" / "libvirt.conf").write_text(self.CONFIG)
        return f"{tmp_path}/libvirt/libvirt.conf"

    @pytest.mark.parametrize(
        ("alias", "uri"),
        [
            ("away", "qemu+tls://[::1]/system?x=a#b"),
            ("home", "qemu+unix:///system?socket=/run/libvirt/libvirt-sock"),
            ("no", "no"),
            ("other", "other"),
            ("qemu:///system", "qemu:///system"),
        ],
    )
    def test_an_alias_stands_for_what_the_configuration_says(self, config, alias, uri):
        assert daemon.resolve(alias, config) == uri

    def test_a_users_aliases_are_the_users_own(self, config, tmp_path):
        assert daemon.resolve("home", environ={"XDG_CONFIG_HOME": str(tmp_path)}).startswith("qemu+unix:")

    def test_without_a_configuration_it_stands_for_itself(self, tmp_path):
        assert daemon.resolve("home", f"{tmp_path}/none") == "home"

    def test_only_a_list_that_is_complete_counts(self, tmp_path):
        file = tmp_path / "libvirt.conf"
        file.write_text('uri_aliases = [ "a=first" what\nuri_aliases = [ "a=second" ]\nuri_aliases = [ "a=third" ]\n')
        assert daemon.resolve("a", str(file)) == "second"

    def test_a_list_with_a_mistake_does_not_keep_us(self, tmp_path):
        file = tmp_path / "libvirt.conf"
        # With a pattern of the whole list, each of these lines made it take three times as long: 14 of them took 4 s.
        file.write_text("uri_aliases = [\n" + '"a=b", # not "c=d" or "e=f"\n' * 14 + "and so on ]\n")
        began = time.process_time()
        assert daemon.resolve("a", str(file)) == "a"
        assert time.process_time() - began < 1.0


@pytest.mark.parametrize("path", ["/run/%00/libvirt-sock", "/run/libvirt%00/libvirt-sock-ro", "/\udfff/virtqemud-sock"])
def test_a_socket_whose_path_no_file_can_have_is_not_this_hosts_own(path):
    found = there(f"qemu:///system?socket={path}", "/run/libvirt/libvirt-sock")
    assert found.pid_files == ""
    assert "names a socket that is not the one of this host's own libvirt" in found.reason


def test_a_folder_of_the_users_whose_name_is_no_text_may_have_a_pid_file(host, tmp_path):
    folder = os.fsencode(tmp_path) + b"/\xff"
    os.makedirs(folder + b"/libvirt")
    host.process(5, comm=b"libvirtd")
    with open(folder + b"/libvirt/libvirtd.pid", "wb") as file:
        file.write(b"5")
    user = os.fsdecode(folder) + "/libvirt"
    place = daemon.Place(("libvirtd",), user, user, user, "")
    assert daemon.identify(place, str(host.proc)) == Daemon("libvirtd", 5, 900)


@pytest.mark.parametrize(
    ("uri", "sockets", "read_only", "expected"),
    [
        ("qemu:///system", [], True, ("/run/libvirt/virtqemud-sock-ro", "/run/libvirt/libvirt-sock-ro")),
        ("qemu:///system", ["libvirt-sock"], True, ("/run/libvirt/libvirt-sock-ro",)),
        ("qemu:///system", ["libvirt-sock"], False, ("/run/libvirt/libvirt-sock",)),
        ("qemu:///session?mode=direct", [], False, ("/run/user/1000/libvirt/virtqemud-sock",)),
        ("qemu+tls://host/system", [], True, ()),
        ("test:///default", [], True, ()),
    ],
)
def test_the_sockets_of_clients_are_in_libvirts_own_order(uri, sockets, read_only, expected):
    found = there(uri, *(f"/run/libvirt/{name}" for name in sockets))
    assert daemon.client_sockets(found, read_only) == expected
