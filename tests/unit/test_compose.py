"""docker-compose.yml and the Dockerfile, as far as they can be proved without a Docker engine.

The key sets are those of the Compose specification's schema; the instructions those of the
Dockerfile reference.
"""

import json
import re
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
TEXT = (ROOT / "docker-compose.yml").read_text()
COMPOSE: dict[str, Any] = yaml.safe_load(TEXT)
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
OURS = [name for name, service in SERVICES.items() if "build" in service]


def names(text: str) -> set[str]:
    return set(text.split())


DOCUMENT_KEYS = names("name include services models networks volumes secrets configs")
SERVICE_KEYS = names(
    """
    annotations attach blkio_config build cap_add cap_drop cgroup cgroup_parent command configs
    container_name cpu_count cpu_percent cpu_period cpu_quota cpu_rt_period cpu_rt_runtime
    cpu_shares cpus cpuset credential_spec depends_on deploy develop device_cgroup_rules devices
    dns dns_opt dns_search domainname entrypoint env_file environment expose extends
    external_links extra_hosts gpus group_add healthcheck hostname image init ipc isolation
    label_file labels links logging mac_address mem_limit mem_reservation mem_swappiness
    memswap_limit models network_mode networks oom_kill_disable oom_score_adj pid pids_limit
    platform ports post_start pre_stop privileged profiles provider pull_policy
    pull_refresh_after read_only restart runtime scale secrets security_opt shm_size stdin_open
    stop_grace_period stop_signal storage_opt sysctls tmpfs tty ulimits use_api_socket user
    userns_mode uts volumes volumes_from working_dir
    """
)
BUILD_KEYS = names(
    """
    additional_contexts args cache_from cache_to context dockerfile dockerfile_inline
    entitlements extra_hosts isolation labels network no_cache platforms privileged pull secrets
    shm_size ssh tags target ulimits
    """
)
HEALTH_KEYS = names("disable interval retries start_interval start_period test timeout")
MOUNT_KEYS = names("type source target read_only consistency bind volume tmpfs image")
MOUNT_TYPES = names("bind volume tmpfs cluster npipe image")
BIND_KEYS = names("propagation create_host_path recursive selinux")
DEPENDS_KEYS = names("restart required condition")
VOLUME_KEYS = names("name driver driver_opts external labels")
CONDITIONS = names("service_started service_healthy service_completed_successfully")
RESTARTS = {"no", "always", "unless-stopped"}
DURATION = re.compile(r"(\d+(us|ms|s|m|h))+")
SIZE = re.compile(r"\d+(b|k|m|g|kb|mb|gb)")
VARIABLE = re.compile(r"\$\{([A-Z_]+)(?::?([-?])([^}]*))?\}")


def plain(keys: Any) -> set[str]:
    """Keys without the extensions that the specification leaves to everybody."""
    return {key for key in keys if not key.startswith("x-")}


def filled(value: str) -> str:
    """The value with each variable at its default, `!` where there is none."""
    return VARIABLE.sub(lambda found: found[3] if found[2] == "-" else "!", value)


def command_of(service: str) -> list[str]:
    """The words after `reid`, which is the image's entry point."""
    words = SERVICES[service]["command"]
    assert isinstance(words, list)
    assert all(isinstance(word, str) for word in words), "quote what YAML reads as a number"
    return words


# --- the Compose specification


def test_document_names_what_the_specification_knows() -> None:
    assert plain(COMPOSE) <= DOCUMENT_KEYS, "`version` is obsolete"
    assert set(SERVICES) == {"database", "migrate", "worker", "page"}
    assert re.fullmatch(r"[a-z0-9][a-z0-9_-]*", COMPOSE["name"])
    for volume in COMPOSE["volumes"].values():
        assert plain(volume or {}) <= VOLUME_KEYS


@pytest.mark.parametrize("name", SERVICES)
def test_service_names_what_the_specification_knows(name: str) -> None:
    service = SERVICES[name]
    assert plain(service) <= SERVICE_KEYS
    assert ("image" in service) != ("build" in service)
    assert plain(service.get("build", {})) <= BUILD_KEYS
    assert service["restart"] in RESTARTS, 'a bare `no` is a boolean: write "no"'
    assert all(isinstance(value, str) for value in service["environment"].values())
    assert DURATION.fullmatch(service.get("stop_grace_period", "1s"))
    assert SIZE.fullmatch(service.get("shm_size", "1gb"))
    command_of(name)


@pytest.mark.parametrize("name", [name for name in SERVICES if "healthcheck" in SERVICES[name]])
def test_health_check(name: str) -> None:
    health = SERVICES[name]["healthcheck"]
    assert plain(health) <= HEALTH_KEYS
    assert health["test"][0] == "CMD"
    assert isinstance(health["retries"], int)
    for key in ("interval", "timeout", "start_period"):
        assert DURATION.fullmatch(health[key])


@pytest.mark.parametrize("name", SERVICES)
def test_dependencies_exist_and_can_be_met(name: str) -> None:
    for other, how in SERVICES[name].get("depends_on", {}).items():
        assert other in SERVICES
        assert plain(how) <= DEPENDS_KEYS
        assert how["condition"] in CONDITIONS
        if how["condition"] == "service_healthy":
            assert "healthcheck" in SERVICES[other]
        if how["condition"] == "service_completed_successfully":
            assert SERVICES[other]["restart"] == "no", f"{other} would never complete"


@pytest.mark.parametrize("name", SERVICES)
def test_mounts_are_declared(name: str) -> None:
    for mount in SERVICES[name].get("volumes", []):
        if isinstance(mount, str):
            source, target = mount.split(":")
            assert source in COMPOSE["volumes"]
            assert target.startswith("/")
        else:
            assert plain(mount) <= MOUNT_KEYS
            assert mount["type"] in MOUNT_TYPES
            assert plain(mount.get("bind", {})) <= BIND_KEYS
            assert mount["target"].startswith("/")


# --- what this project asks of it


def test_ports_are_bound_to_loopback_only() -> None:
    ports = {
        name: filled(*SERVICES[name]["ports"]) for name in SERVICES if "ports" in SERVICES[name]
    }
    assert ports == {"database": "127.0.0.1:5432:5432", "page": "127.0.0.1:8000:8000"}
    assert not any("network_mode" in service for service in SERVICES.values())


def test_the_password_comes_from_the_environment_and_from_nowhere_else() -> None:
    asked = "${POSTGRES_PASSWORD:?set it in .env}"
    assert SERVICES["database"]["environment"]["POSTGRES_PASSWORD"] == asked
    for name in OURS:
        assert SERVICES[name]["environment"]["PGPASSWORD"] == asked
        assert urlsplit(SERVICES[name]["environment"]["REID_DATABASE_URL"]).password is None
    example = (ROOT / ".env.example").read_text()
    assert re.search(r"^POSTGRES_PASSWORD=$", example, re.MULTILINE), "no password that works"


def test_every_variable_is_explained_in_the_example() -> None:
    example = (ROOT / ".env.example").read_text()
    for name, *_ in VARIABLE.findall(TEXT):
        assert re.search(rf"^#?{name}=", example, re.MULTILINE), f"{name} is not in .env.example"
    leftover = VARIABLE.sub("", TEXT)
    assert "$" not in leftover, "a variable that this test does not read"


def test_the_database_is_one_that_this_program_takes() -> None:
    image = re.fullmatch(
        r"pgvector/pgvector:(\d+)\.(\d+)\.(\d+)-pg(\d+)", SERVICES["database"]["image"]
    )
    assert image, "pin the version of pgvector and of Postgres"
    assert tuple(map(int, image.groups()[:3])) >= (0, 8, 4)
    # images of Postgres 18 refuse a mount at .../data
    assert SERVICES["database"]["volumes"] == ["database:/var/lib/postgresql"]
    assert SERVICES["database"]["shm_size"] == "1gb"


def test_images_are_read_only_for_the_worker() -> None:
    mounts = [mount for mount in SERVICES["worker"]["volumes"] if isinstance(mount, dict)]
    assert [(mount["target"], mount["read_only"]) for mount in mounts] == [("/images", True)]


@pytest.mark.parametrize("name", OURS)
def test_each_command_exists(name: str) -> None:
    words = command_of(name)
    options = [word for word in words if word.startswith("--")]
    first = words.index(options[0]) if options else len(words)
    help_of = [sys.executable, "cli.py", *words[:first], "--help"]
    done = subprocess.run(help_of, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(f"Usage: cli.py {' '.join(words[:first])}")
    for option in options:
        assert re.search(rf"{option}\b", done.stdout), f"reid {words[0]} has no {option}"


def test_one_dockerfile_serves_all() -> None:
    builds = [SERVICES[name]["build"] for name in OURS]
    assert OURS == ["migrate", "worker", "page"]
    assert builds == [{"context": ".", "args": builds[0]["args"]}] * len(OURS)
    arguments = {words[1].split("=")[0] for words in INSTRUCTIONS if words[0] == "ARG"}
    assert set(builds[0]["args"]) <= arguments


# --- the Dockerfile

KNOWN = names(
    """
    ADD ARG CMD COPY ENTRYPOINT ENV EXPOSE FROM HEALTHCHECK LABEL ONBUILD RUN SHELL STOPSIGNAL
    USER VOLUME WORKDIR
    """
)
COPY_FLAGS = {"--from", "--chown", "--chmod", "--link", "--parents", "--exclude"}


def instructions(text: str) -> list[list[str]]:
    """Each instruction's words; comments dropped, continued lines joined."""
    lines = [line for line in text.splitlines() if not line.lstrip().startswith("#")]
    joined = re.sub(r"\\\n", " ", "\n".join(lines))
    return [line.split() for line in joined.splitlines() if line.strip()]


INSTRUCTIONS = instructions((ROOT / "Dockerfile").read_text())
LAST_STAGE = INSTRUCTIONS[max(i for i, words in enumerate(INSTRUCTIONS) if words[0] == "FROM") :]


def test_dockerfile_has_known_instructions_only() -> None:
    assert {words[0] for words in INSTRUCTIONS} <= KNOWN
    assert INSTRUCTIONS[0][0] in {"FROM", "ARG"}
    for words in INSTRUCTIONS:
        if words[0] in {"ENTRYPOINT", "CMD"}:
            assert isinstance(json.loads(" ".join(words[1:])), list)


def context() -> set[str]:
    """What .dockerignore lets into the image: it denies all, then names the exceptions."""
    lines = (ROOT / ".dockerignore").read_text().splitlines()
    rules = [line for line in lines if line and not line.startswith("#")]
    assert rules[0] == "*"
    return {rule[1:] for rule in rules if rule.startswith("!")}


def test_copied_files_exist_and_are_in_the_context() -> None:
    stages = {words[3] for words in INSTRUCTIONS if words[0] == "FROM" and len(words) == 4}
    for words in (words for words in INSTRUCTIONS if words[0] == "COPY"):
        flags = dict(word.split("=", 1) for word in words[1:] if word.startswith("--"))
        assert set(flags) <= COPY_FLAGS
        if "--from" in flags:
            assert flags["--from"] in stages
            continue
        for source in [word for word in words[1:] if not word.startswith("--")][:-1]:
            assert (ROOT / source).exists()
            assert source == "." or source in context()


def test_the_context_is_the_program_and_nothing_else() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    setup = project["tool"]["setuptools"]
    folders = {name.split(".")[0] for name in setup["packages"]}
    modules = {f"{name}.py" for name in setup["py-modules"]}
    files = {"pyproject.toml", "constraints.txt", project["project"]["readme"]}
    assert context() == folders | modules | files | set(project["project"]["license-files"])
    for name in context():
        assert (ROOT / name).exists(), f".dockerignore names {name}, which is not there"


def test_the_image_runs_reid_as_a_user_without_rights() -> None:
    by_name = {words[0]: words[1:] for words in LAST_STAGE}
    assert by_name["USER"] == ["10001:10001"]
    assert by_name["ENTRYPOINT"] == ['["reid"]']
    assert "REID_HOME=/var/lib/reid" in by_name["ENV"]
    for name in OURS:
        assert "home:/var/lib/reid" in SERVICES[name]["volumes"]
        assert "entrypoint" not in SERVICES[name]
