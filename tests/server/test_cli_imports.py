"""Importing at the command line: what it prints, its exit codes, its result file, and Ctrl-C in the middle."""

from __future__ import annotations

import base64
from pathlib import Path

import pytest

from server.cli.app import main
from server.service import imports
from tests.server.service.test_imports import ORDERS, an_order, sheet


@pytest.fixture(autouse=True)
def told(monkeypatch: pytest.MonkeyPatch, database_url: str, tmp_path: Path) -> None:
    monkeypatch.setenv("HEARSIGHT_DATABASE_URL", database_url)
    monkeypatch.setenv("HEARSIGHT_DATA", str(tmp_path))
    monkeypatch.setenv("HEARSIGHT_MASTER_KEY", base64.b64encode(bytes(32)).decode())


def ran(*argv: str) -> int:
    with pytest.raises(SystemExit) as ended:
        main(argv)
    return int(ended.value.code or 0)


def test_dry_run_import_and_result_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file, result = tmp_path / "orders.csv", tmp_path / "result.csv"
    file.write_bytes(sheet(ORDERS, an_order("T-1"), an_order("=T-2")))
    assert ran("import", "orders", str(file), "--dry-run") == 1
    out = capsys.readouterr().out.splitlines()
    assert out[0].startswith("row 3: row_invalid: The row cannot be used: order-id")
    assert out[-1] == "1 would be added, 0 known, 1 would be refused"
    assert ran("import", "orders", str(file), "--result", str(result)) == 1
    assert capsys.readouterr().out.splitlines()[-1] == "1 added, 0 known, 1 refused"
    assert result.read_text().splitlines()[2].startswith("3,'=T-2,refused,row_invalid,")
    file.write_bytes(sheet(ORDERS, an_order("T-1")))
    assert ran("import", "orders", str(file)) == 0
    assert capsys.readouterr().out.splitlines()[-1] == "0 added, 1 known, 0 refused"


def test_wrong_files_and_options(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "orders.csv"
    assert ran("import", "orders", str(file)) == 2
    assert "(file_unreadable)" in capsys.readouterr().err
    file.write_bytes(sheet(ORDERS, an_order("T-1")))
    assert ran("import", "shipments", str(file)) == 2
    assert "(sheet_columns)" in capsys.readouterr().err
    assert ran("import", "orders", str(file), "--zone", "Mars") == 2
    assert "(zone_unknown)" in capsys.readouterr().err
    assert ran("import", "orders", str(file), "--result", str(tmp_path / "no" / "x.csv")) == 2
    assert "(file_unwritable)" in capsys.readouterr().err


def test_ctrl_c_keeps_what_is_done_and_says_how_to_go_on(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "orders.csv"
    file.write_bytes(sheet(ORDERS, *(an_order(f"T-{n}") for n in range(120))))
    done = imports._do

    def pressed(*given: object, **more: object) -> object:
        monkeypatch.setattr(imports, "_do", interrupted)
        return done(*given, **more)  # type: ignore[arg-type]

    def interrupted(*_: object, **__: object) -> object:
        raise KeyboardInterrupt

    monkeypatch.setattr(imports, "_do", pressed)
    assert ran("import", "orders", str(file)) == 1
    assert "Interrupted after 50 of 120 rows, which are kept." in capsys.readouterr().err
    monkeypatch.setattr(imports, "_do", done)
    assert ran("import", "orders", str(file)) == 0
    assert capsys.readouterr().out.splitlines()[-1] == "120 added, 0 known, 0 refused"
