"""Which host keys are trusted, against what ssh-keygen -F says of the same file."""

from __future__ import annotations

import subprocess
from pathlib import Path

import asyncssh
import pytest

from skoopctl.transport import host_keys
from skoopctl.transport.host_keys import KnownHosts


@pytest.fixture
def key() -> asyncssh.SSHKey:
    """Return a host key."""
    return asyncssh.generate_private_key("ssh-ed25519")


def public(key: asyncssh.SSHKey) -> str:
    """Return the line of a key, without a comment."""
    return key.export_public_key().decode().strip()


def trusted(text: str, folder: Path, host: str, port: int = 22, alias: str | None = None) -> list[str]:
    """Return the public keys that a known_hosts file with ``text`` trusts."""
    file = folder / "known_hosts"
    file.write_text(text)
    found = KnownHosts().trusted([str(file)], host, port, alias)
    return [public(key) for key in found.keys]


def test_a_plain_name_is_found_and_another_is_not(tmp_path: Path, key: asyncssh.SSHKey) -> None:
    """Names are compared without regard to case, as OpenSSH does."""
    text = f"node1,10.0.0.1 {public(key)}\n"
    assert trusted(text, tmp_path, "Node1") == [public(key)]
    assert trusted(text, tmp_path, "10.0.0.1") == [public(key)]
    assert trusted(text, tmp_path, "node2") == []


def test_a_hashed_name_is_found(tmp_path: Path, key: asyncssh.SSHKey) -> None:
    """Files that ssh-keygen -H has hashed are understood."""
    file = tmp_path / "hashed"
    file.write_text(f"node1 {public(key)}\n[node1]:2222 {public(key)}\n")
    subprocess.run(["ssh-keygen", "-q", "-H", "-f", str(file)], check=True, capture_output=True)
    text = file.read_text()
    assert text.startswith("|1|")
    assert trusted(text, tmp_path, "node1") == [public(key)]
    assert trusted(text, tmp_path, "node1", 2222) == [public(key)]
    assert trusted(text, tmp_path, "node2") == []


def test_another_port_has_its_own_name_and_falls_back_to_the_plain_one(
    tmp_path: Path, key: asyncssh.SSHKey
) -> None:
    """``[host]:port`` first; only without such an entry, ``host``."""
    other = asyncssh.generate_private_key("ssh-ed25519")
    both = f"[node1]:2222 {public(key)}\nnode1 {public(other)}\n"
    assert trusted(both, tmp_path, "node1", 2222) == [public(key)]
    assert trusted(both, tmp_path, "node1", 22) == [public(other)]
    assert trusted(f"node1 {public(other)}\n", tmp_path, "node1", 2222) == [public(other)]
    assert trusted(f"[node1]:2222 {public(key)}\n", tmp_path, "node1") == []


def test_an_alias_is_looked_up_without_the_port(tmp_path: Path, key: asyncssh.SSHKey) -> None:
    """HostKeyAlias stands for the whole name."""
    assert trusted(f"alias {public(key)}\n", tmp_path, "10.0.0.1", 2222, "alias") == [public(key)]
    assert trusted(f"10.0.0.1 {public(key)}\n", tmp_path, "10.0.0.1", 22, "alias") == []


def test_a_revoked_key_is_revoked_under_either_name(tmp_path: Path, key: asyncssh.SSHKey) -> None:
    """A revocation of the plain name holds for every port."""
    file = tmp_path / "known_hosts"
    file.write_text(f"[node1]:2222 {public(key)}\n@revoked node1 {public(key)}\n")
    found = KnownHosts().trusted([str(file)], "node1", 2222)
    assert [public(key) for key in found.revoked] == [public(key)]


def test_lines_that_make_no_sense_are_skipped(tmp_path: Path, key: asyncssh.SSHKey) -> None:
    """One broken line does not make every host unknown."""
    text = f"broken\n@what node1 {public(key)}\n|1|x node1\nnode1 ssh-ed25519 AAAA\nnode1 {public(key)}\n"
    assert trusted(text, tmp_path, "node1") == [public(key)]


def test_without_files_nobody_is_trusted_and_asyncssh_is_told_so(tmp_path: Path) -> None:
    """The argument for asyncssh is never None, which would switch checks off."""
    found = KnownHosts().trusted([], "node1", 22)
    assert found.for_asyncssh == ([], [], [])
    assert KnownHosts().trusted([str(tmp_path / "gone")], "node1", 22).keys == ()


def test_a_file_is_parsed_once_as_long_as_it_stays(
    tmp_path: Path, key: asyncssh.SSHKey, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A thousand hosts cost one parse."""
    parsed: list[str] = []
    parse = host_keys._parse
    monkeypatch.setattr(host_keys, "_parse", lambda file: parsed.append(file) or parse(file))
    file = tmp_path / "known_hosts"
    file.write_text(f"node1 {public(key)}\n")
    known = KnownHosts()
    for _ in range(1000):
        assert known.trusted([str(file)], "node1", 22).keys
    assert parsed == [str(file)]


def test_a_file_that_has_changed_is_parsed_again(tmp_path: Path, key: asyncssh.SSHKey) -> None:
    """A run that lasts for months hears of a node that was set up anew."""
    file, known = tmp_path / "known_hosts", KnownHosts()
    assert known.trusted([str(file)], "node1", 22).keys == ()
    file.write_text(f"node1 {public(key)}\n")
    assert [public(each) for each in known.trusted([str(file)], "node1", 22).keys] == [public(key)]
    other = asyncssh.generate_private_key("ssh-ed25519")
    file.write_text(f"# new\nnode1 {public(other)}\n")
    assert [public(each) for each in known.trusted([str(file)], "node1", 22).keys] == [public(other)]


def test_known_kinds_of_keys_are_asked_for_first(tmp_path: Path) -> None:
    """A server with several keys shows the one that we know; one with others still shows a key."""
    rsa = asyncssh.generate_private_key("ssh-rsa", key_size=2048)
    file = tmp_path / "known_hosts"
    file.write_text(f"node1 {public(rsa)}\n")
    wanted = KnownHosts().trusted([str(file)], "node1", 22).algorithms
    assert wanted[0].startswith("rsa-sha2")
    assert "ssh-ed25519" in wanted
    assert KnownHosts().trusted([], "node1", 22).algorithms[0] == "ssh-ed25519"
