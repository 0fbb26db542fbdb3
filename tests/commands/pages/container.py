"""packaging/container/README.md."""

from tests.commands.table import Elsewhere, How, Never

PAGE = "packaging/container/README.md"
_PODMAN = Never(
    "podman does not run inside the systems of these tests; tests/packages/image.py builds the image with buildah, and"
    " runs a container of it with the same mounts."
)
LINES: dict[str, How] = {
    "podman build --file packaging/container/Containerfile --tag virt2 .": Elsewhere(
        "tests/packages/image.py", '"--file", "packaging/container/Containerfile", "--tag", "virt2", "."'
    ),
    "podman run --detach --name virt2"
    " --pid host --network host --cgroupns host --uts host --cap-add SYS_PTRACE"
    " --volume /run:/host/run:ro,rslave"
    " --volume /etc/collectd/write.conf:/etc/collectd/collectd.conf.d/write.conf:ro"
    " virt2": _PODMAN,
    "podman logs virt2": _PODMAN,
}
