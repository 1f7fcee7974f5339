"""Results from JSON and back.

See items 235-241, 248-268 and 320-324 of docs/maintainers/conformance.md.
"""

import copy
import json
from ipaddress import IPv4Address, ip_interface
from typing import Any

import pytest

from cni_async import errors
from cni_async.errors import ResultError
from cni_async.types import (
    DNS,
    NetConf,
    Result,
    Route,
    create_result,
    create_result_from_bytes,
    parse_prev_result,
    v020,
    v040,
    v100,
)
from cni_async.types.create import result_from_plugin


def dump(document: Any) -> bytes:
    return json.dumps(document, separators=(",", ":")).encode()


def bridge(version: str = "1.1.0") -> dict[str, Any]:
    return {
        "cniVersion": version,
        "dns": {"nameservers": ["10.1.0.1"]},
        "interfaces": [
            {"mac": "aa:bb:cc:dd:ee:ff", "name": "cni0"},
            {
                "mac": "00:11:22:33:44:55",
                "mtu": 1400,
                "name": "eth0",
                "pciID": "0000:00:1f.6",
                "sandbox": "/run/netns/x",
                "socketPath": "/run/s",
            },
        ],
        "ips": [{"address": "10.1.2.3/24", "gateway": "10.1.2.1", "interface": 1}],
        "routes": [
            {"dst": "0.0.0.0/0"},
            {
                "advmss": 1340,
                "dst": "10.0.0.0/8",
                "gw": "10.1.2.1",
                "mtu": 1500,
                "priority": 100,
                "scope": 0,
                "table": 0,
            },
        ],
    }


# --- the three families ---------------------------------------------------------------------


def test_1_1_0() -> None:  # 248
    result = create_result("1.1.0", dump(bridge()))
    assert result == v100.Result(
        cni_version="1.1.0",
        interfaces=[
            v100.Interface("cni0", mac="aa:bb:cc:dd:ee:ff"),
            v100.Interface(
                name="eth0",
                mac="00:11:22:33:44:55",
                mtu=1400,
                sandbox="/run/netns/x",
                socket_path="/run/s",
                pci_id="0000:00:1f.6",
            ),
        ],
        ips=[v100.IPConfig(ip_interface("10.1.2.3/24"), IPv4Address("10.1.2.1"), 1)],
        routes=[
            Route(ip_interface("0.0.0.0/0")),
            Route(
                ip_interface("10.0.0.0/8"),
                IPv4Address("10.1.2.1"),
                mtu=1500,
                advmss=1340,
                priority=100,
                table=0,
                scope=0,
            ),
        ],
        dns=DNS(nameservers=["10.1.0.1"]),
    )
    # 256: the document above has its keys in order.
    assert result.to_json() == dump(bridge()).decode()


def test_0_4_0() -> None:  # 248, 256
    text = (
        '{"cniVersion":"0.4.0","interfaces":[{"name":"eth0","mac":"m","sandbox":"/s"}],'
        '"ips":[{"version":"4","interface":0,"address":"1.2.3.4/8","gateway":"1.1.1.1"}],'
        '"routes":[{"dst":"::/0","gw":"fe80::1","mtu":1,"advmss":2,"priority":3,"table":4,'
        '"scope":5}],"dns":{"nameservers":["n"],"domain":"d","search":["s"],"options":["o"]}}'
    )
    result = create_result("0.4.0", text.encode())
    assert isinstance(result, v040.Result)
    assert result.version == result.cni_version == "0.4.0"
    assert result.ips == [
        v040.IPConfig("4", ip_interface("1.2.3.4/8"), IPv4Address("1.1.1.1"), interface=0)
    ]
    assert result.to_json() == text


def test_0_2_0() -> None:  # 248, 256
    text = (
        '{"cniVersion":"0.2.0","ip4":{"ip":"1.2.3.4/8","gateway":"1.1.1.1",'
        '"routes":[{"dst":"0.0.0.0/0","gw":"1.1.1.1"}]},"ip6":{"ip":"::1/64"},"dns":{"domain":"d"}}'
    )
    result = create_result("0.2.0", text.encode())
    assert isinstance(result, v020.Result)
    assert result.ip4 == v020.IPConfig(
        ip_interface("1.2.3.4/8"),
        IPv4Address("1.1.1.1"),
        [Route(ip_interface("0.0.0.0/0"), IPv4Address("1.1.1.1"))],
    )
    assert result.to_json() == text


@pytest.mark.parametrize("result", [v020.Result(), v040.Result(), v100.Result()])
def test_the_protocol_fits(result: Result) -> None:
    assert isinstance(result, Result)
    assert not isinstance("1.0.0", Result)


def test_lists_are_not_shared() -> None:
    v100.Result().ips.append(v100.IPConfig(ip_interface("1.2.3.4/8")))
    v020.IPConfig(ip_interface("1.2.3.4/8")).routes.append(Route(ip_interface("1.2.3.4/8")))
    assert v100.Result().ips == []
    assert v020.IPConfig(ip_interface("1.2.3.4/8")).routes == []


@pytest.mark.parametrize("version", ["0.2.0", "0.4.0", "1.1.0"])
def test_deepcopy_is_the_copy_helper(version: str) -> None:  # 270
    result = create_result("1.1.0", dump(bridge())).get_as_version(version)
    duplicate = copy.deepcopy(result)
    assert duplicate == result
    duplicate.dns.nameservers.append("x")  # type: ignore[attr-defined]
    assert duplicate != result


# --- choosing the family --------------------------------------------------------------------


@pytest.mark.parametrize(
    ("version", "stated", "list_"),
    [
        ("1.0.0", "", "[1.0.0 1.1.0]"),
        ("1.1.0", "0.4.0", "[1.0.0 1.1.0]"),
        ("0.3.1", "1.0.0", "[0.3.0 0.3.1 0.4.0]"),
        ("0.3.1", "", "[0.3.0 0.3.1 0.4.0]"),
        ("0.2.0", "0.3.0", "[ 0.1.0 0.2.0]"),
        ("", '1"', "[ 0.1.0 0.2.0]"),
    ],
)
def test_other_family(version: str, stated: str, list_: str) -> None:  # 250
    with pytest.raises(ResultError) as caught:
        create_result(version, dump({"cniVersion": stated}))
    quoted = json.dumps(stated)
    assert (
        str(caught.value) == f"result type supports {list_} but unmarshalled CNIVersion is {quoted}"
    )


@pytest.mark.parametrize(
    ("version", "stated"), [("1.0.0", "1.1.0"), ("0.4.0", "0.3.0"), ("0.1.0", "0.2.0")]
)
def test_another_version_of_the_family_stays(version: str, stated: str) -> None:  # 249, 251
    assert create_result(version, dump({"cniVersion": stated})).version == stated


@pytest.mark.parametrize("data", [b"{}", b"null", b'{"cniVersion":""}', b'{"cniVersion":null}'])
@pytest.mark.parametrize("version", ["", "0.1.0", "0.2.0"])
def test_no_version_is_0_1_0(version: str, data: bytes) -> None:  # 252
    assert create_result(version, data) == v020.Result(cni_version="0.1.0")


def test_no_version_outside_the_family() -> None:  # 252
    with pytest.raises(ResultError, match=r'unmarshalled CNIVersion is ""$'):
        create_result("1.1.0", b"null")


@pytest.mark.parametrize("version", ["7.0.0", "1.0", "garbage"])
def test_unknown_version(version: str) -> None:  # 240
    with pytest.raises(ResultError) as caught:
        create_result(version, b"{}")
    assert str(caught.value) == f'unsupported CNI result version "{version}"'


@pytest.mark.parametrize(
    ("data", "version"),
    [
        (b"{}", "0.1.0"),
        (b"null", "0.1.0"),
        (b'{"cniVersion":""}', "0.1.0"),
        (b'{"CNIVERSION":"0.3.1"}', "0.3.1"),
        (b'{"cniVersion":"1.0.0"}', "1.0.0"),
    ],
)
def test_version_from_bytes(data: bytes, version: str) -> None:  # 253
    assert create_result_from_bytes(data).version == version


@pytest.mark.parametrize(
    ("data", "text"),
    [
        (b"", "unexpected end of JSON input"),
        (b"[]", "the document is of type array, not object"),
        (b'{"cniVersion":5}', "cniVersion is of type number, not string"),
    ],
)
def test_no_version_in_bytes(data: bytes, text: str) -> None:  # 253
    with pytest.raises(ResultError) as caught:
        create_result_from_bytes(data)
    assert str(caught.value) == f"decoding version from network config: {text}"


def test_unknown_version_in_bytes() -> None:  # 253
    with pytest.raises(ResultError, match=r'^unsupported CNI result version "8\.0\.0"$'):
        create_result_from_bytes(b'{"cniVersion":"8.0.0"}')


# --- decoding -------------------------------------------------------------------------------


def test_keys_match_in_any_case_and_the_last_wins() -> None:  # 254
    result = create_result(
        "1.1.0",
        b'{"CniVersion":"1.0.0","ips":[{"address":"1.2.3.4/8"}],"IPS":[{"ADDRESS":"2.3.4.5/8",'
        b'"GateWay":"2.0.0.1"}],"interfaces":[{"PCIid":"p","\xc5\xbfandbox":"s"}],"cniversion":"1.1.0"}',
    )
    assert result.to_json() == (
        '{"cniVersion":"1.1.0","interfaces":[{"name":"","pciID":"p","sandbox":"s"}],'
        '"ips":[{"address":"2.3.4.5/8","gateway":"2.0.0.1"}]}'
    )


@pytest.mark.parametrize(
    ("repeated", "dns"),
    [
        (
            b'"dns":{"nameservers":["a"],"domain":"x"},"dns":{"nameservers":["b"],"search":["s"]}',
            DNS(["b"], "x", ["s"]),
        ),
        (b'"dns":{"domain":"x"},"DNS":{"options":["o"]}', DNS(domain="x", options=["o"])),
        (b'"dns":{"domain":"x"},"dns":null', DNS(domain="x")),
        (b'"dns":{"domain":"x"},"dns":{"domain":""}', DNS()),
        (
            b'"dns":{"domain":"x","search":["s"]},"dns":{"domain":null,"search":null}',
            DNS(domain="x"),
        ),
    ],
)
def test_repeated_dns_is_merged(repeated: bytes, dns: DNS) -> None:  # 254
    result = create_result("1.1.0", b'{"cniVersion":"1.1.0",' + repeated + b"}")
    assert isinstance(result, v100.Result)
    assert result.dns == dns


def test_null_is_absent() -> None:  # 262, 264
    result = create_result(
        "0.4.0",
        b'{"cniVersion":"0.4.0","interfaces":[{"name":null,"mac":null}],"ips":[{"version":null,'
        b'"address":"1.2.3.4/8","gateway":null,"interface":null}],"routes":null,"dns":null}',
    )
    assert result == v040.Result(
        cni_version="0.4.0",
        interfaces=[v040.Interface()],
        ips=[v040.IPConfig("", ip_interface("1.2.3.4/8"))],
    )
    result = create_result("0.1.0", b'{"ip4":null,"IP6":null,"dns":{"search":[null,"s"]}}')
    assert result == v020.Result(cni_version="0.1.0", dns=DNS(search=["", "s"]))


def test_a_later_null_resets_what_may_be_missing() -> None:
    result = create_result(
        "1.1.0",
        b'{"cniVersion":"1.1.0","routes":[{"dst":"::/0"}],"ROUTES":null,"CNIVERSION":null,'
        b'"ips":[{"address":"1.2.3.4/8","gateway":"1.1.1.1","GATEWAY":null,"interface":1,"INTERFACE":null}]}',
    )
    assert result.to_json() == '{"cniVersion":"1.1.0","ips":[{"address":"1.2.3.4/8"}]}'


@pytest.mark.parametrize("number", ["0", "-1", "7", "9223372036854775807", "-9223372036854775808"])
def test_any_int64_is_exact(number: str) -> None:  # 259, 266, 267
    text = f'{{"cniVersion":"1.1.0","ips":[{{"address":"1.2.3.4/8","interface":{number}}}]}}'
    assert create_result("1.1.0", text.encode()).to_json() == text


def test_version_of_an_address_is_ignored_in_1x() -> None:  # 268
    data = b'{"cniVersion":"1.0.0","ips":[{"version":5,"address":"1.2.3.4/8"}]}'
    assert create_result("1.0.0", data).to_json() == (
        '{"cniVersion":"1.0.0","ips":[{"address":"1.2.3.4/8"}]}'
    )


@pytest.mark.parametrize(
    ("member", "text"),
    [
        ('"cniVersion":5', "result key cniVersion is of type number, not string"),
        ('"ips":{}', "result key ips is of type object, not array"),
        ('"ips":"x"', "result key ips is of type string, not array"),
        # 264
        ('"ips":[null]', "result key ips[0] is of type null, not object"),
        ('"interfaces":[{},null]', "result key interfaces[1] is of type null, not object"),
        ('"routes":[null]', "result key routes[0] is of type null, not object"),
        ('"interfaces":[[]]', "result key interfaces[0] is of type array, not object"),
        (
            '"interfaces":[{"name":true}]',
            "result key interfaces[0].name is of type boolean, not string",
        ),
        # 266
        (
            '"Routes":[{"dst":"::/0","MTU":1.0}]',
            "result key routes[0].mtu is 1.0, not a 64-bit integer",
        ),
        (
            '"routes":[{"dst":"::/0","mtu":"0"}]',
            "result key routes[0].mtu is of type string, not integer",
        ),
        (
            '"routes":[{"dst":"::/0","mtu":true}]',
            "result key routes[0].mtu is of type boolean, not integer",
        ),
        (
            '"routes":[{"dst":"::/0","mtu":9223372036854775808}]',
            "result key routes[0].mtu is 9223372036854775808, not a 64-bit integer",
        ),
        (
            '"ips":[{"address":"1.2.3.4/8","interface":"0"}]',
            "result key ips[0].interface is of type string, not integer",
        ),
        (
            '"routes":[{"dst":"1.2.3.4/8","table":1.5}]',
            "result key routes[0].table is 1.5, not a 64-bit integer",
        ),
        # 261
        (
            '"ips":[{"address":"1.2.3.4/8"},{"address":"1.2.3/45"}]',
            "invalid CIDR address: 1.2.3/45 (ips[1].address)",
        ),
        ('"ips":[{"address":""}]', "invalid CIDR address:  (ips[0].address)"),
        ('"ips":[{"address":null}]', "invalid CIDR address:  (ips[0].address)"),
        ('"ips":[{"address":5}]', "result key ips[0].address is of type number, not string"),
        ('"routes":[{"dst":"<nil>"}]', "invalid CIDR address: <nil> (routes[0].dst)"),
        # 262
        (
            '"ips":[{"address":"1.2.3.4/8","gateway":"1.2.3.x"}]',
            "invalid IP address: 1.2.3.x (ips[0].gateway)",
        ),
        ('"routes":[{"dst":"1.2.3.4/8","gw":"x{}"}]', "invalid IP address: x{} (routes[0].gw)"),
        (
            '"routes":[{"dst":"1.2.3.4/8","gw":[]}]',
            "result key routes[0].gw is of type array, not string",
        ),
        # 263
        ('"ips":[{"gateway":"1.1.1.1"}]', "result key ips[0].address is missing"),
        ('"routes":[{}]', "result key routes[0].dst is missing"),
        ('"dns":[]', "result key dns is of type array, not object"),
        ('"dns":{"search":"x"}', "result key dns.search is of type string, not array"),
        ('"dns":{"search":["a",1]}', "result key dns.search[1] is of type number, not string"),
    ],
)
@pytest.mark.parametrize("version", ["0.4.0", "1.1.0"])
def test_wrong_types(version: str, member: str, text: str) -> None:
    data = f'{{"cniVersion":"{version}",{member}}}'.encode()
    with pytest.raises(ResultError) as caught:
        create_result(version, data)
    assert str(caught.value) == text


@pytest.mark.parametrize(
    ("data", "text"),
    [
        (b'{"ip4":{}}', "result key ip4.ip is missing"),  # 263
        (b'{"ip6":{"ip":null}}', "invalid CIDR address:  (ip6.ip)"),
        (b'{"ip4":[]}', "result key ip4 is of type array, not object"),
        (
            b'{"ip4":{"ip":"1.2.3.4/8","routes":[null]}}',
            "result key ip4.routes[0] is of type null, not object",
        ),
        (b"[]", "result is of type array, not object"),
        (b'"x"', "result is of type string, not object"),
        (b"", "unexpected end of JSON input"),
        (b"{}x", "invalid character 'x' after top-level value"),
    ],
)
def test_malformed(data: bytes, text: str) -> None:
    with pytest.raises(ResultError) as caught:
        create_result("0.2.0", data)
    assert str(caught.value) == text


# --- writing --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("result", "text"),
    [
        # 255
        (v020.Result(cni_version="0.1.0"), '{"cniVersion":"0.1.0","dns":{}}'),
        (v040.Result(cni_version="0.3.0"), '{"cniVersion":"0.3.0","dns":{}}'),
        (v100.Result(cni_version="1.0.0"), '{"cniVersion":"1.0.0"}'),
        # 258
        (v020.Result(), '{"dns":{}}'),
        (v100.Result(), "{}"),
        (
            v040.Result(
                interfaces=[v040.Interface()],
                ips=[v040.IPConfig("", ip_interface("1.2.3.4/8"))],
                routes=[Route(ip_interface("1.2.3.4/8"))],
            ),
            '{"interfaces":[{"name":""}],"ips":[{"version":"","address":"1.2.3.4/8"}],'
            '"routes":[{"dst":"1.2.3.4/8"}],"dns":{}}',
        ),
        (
            v100.Result(
                interfaces=[v100.Interface()],
                ips=[v100.IPConfig(ip_interface("1.2.3.4/8"), interface=0)],
                routes=[Route(ip_interface("1.2.3.4/8"), table=0, scope=0)],
            ),
            '{"interfaces":[{"name":""}],"ips":[{"address":"1.2.3.4/8","interface":0}],'
            '"routes":[{"dst":"1.2.3.4/8","scope":0,"table":0}]}',
        ),
        (
            v020.Result(ip4=v020.IPConfig(ip_interface("1.2.3.4/8"))),
            '{"ip4":{"ip":"1.2.3.4/8"},"dns":{}}',
        ),
        # 30: Go escapes < and >; the JSON value is the same.
        (v100.Result(interfaces=[v100.Interface("<é>")]), '{"interfaces":[{"name":"<é>"}]}'),
    ],
)
def test_what_is_left_out(result: Result, text: str) -> None:
    assert result.to_json() == text


def test_indented() -> None:  # 257
    result = v040.Result(cni_version="0.4.0", interfaces=[v040.Interface("e")])
    # The output of Go's Print.
    assert result.to_json(4) == (
        "{\n"
        '    "cniVersion": "0.4.0",\n'
        '    "interfaces": [\n'
        "        {\n"
        '            "name": "e"\n'
        "        }\n"
        "    ],\n"
        '    "dns": {}\n'
        "}"
    )
    assert v100.Result(cni_version="1.0.0").to_json(indent=2) == '{\n  "cniVersion": "1.0.0"\n}'


@pytest.mark.parametrize(
    "result",
    [
        v040.Result(interfaces=[v040.Interface("\ud800")]),
        v100.Result(interfaces=[v100.Interface("\ud800")]),
    ],
)
def test_half_a_character_cannot_be_written(result: Result) -> None:
    with pytest.raises(ResultError, match=r"^cannot write result: "):
        result.to_json()


# --- a plugin's output ----------------------------------------------------------------------


@pytest.mark.parametrize("version", ["0.1.0", "0.2.0", "0.3.0", "0.3.1", "0.4.0", "1.0.0", "1.1.0"])
@pytest.mark.parametrize(
    "stdout",
    [
        b"{}",
        b'{"cniVersion":""}',
        b'{"cniVersion":null}',
        b"null",  # 237
        b'{"cniVersion":5}',  # 238
        b'{"cniVersion":["0.4.0"]}',
        b'{"CNIVersion":"0.4.0"}',
    ],
)
def test_the_configuration_says_the_version(version: str, stdout: bytes) -> None:  # 236
    assert result_from_plugin(version, stdout).version == version


def test_a_configuration_without_a_version() -> None:  # 234
    assert result_from_plugin("", b"{}").version == "0.1.0"


def test_the_result_says_the_version() -> None:  # 236
    assert result_from_plugin("1.1.0", b'{"cniVersion":"0.3.1"}\n \t\r\n').version == "0.3.1"


@pytest.mark.parametrize("number", [b"0.0", b"0", b"0e0"])
def test_numbers_are_normalised_only_without_a_version(number: bytes) -> None:  # 239
    rest = b'"ips":[{"address":"1.2.3.4/8","interface":' + number + b"}]}"
    result = result_from_plugin("1.1.0", b"{" + rest)
    assert isinstance(result, v100.Result)
    assert result.ips[0].interface == 0
    versioned = b'{"cniVersion":"1.1.0",' + rest
    if number == b"0":
        assert result_from_plugin("1.1.0", versioned) == result
    else:
        with pytest.raises(ResultError, match=r"^result key ips\[0\]\.interface is 0\.0, not"):
            result_from_plugin("1.1.0", versioned)


def test_repeated_dns_of_a_plugin() -> None:  # 236, 254
    rest = b'"dns":{"domain":"x"},"dns":{"search":["s"]}}'
    with_version = result_from_plugin("1.1.0", b'{"cniVersion":"1.1.0",' + rest)
    assert with_version.to_json() == '{"cniVersion":"1.1.0","dns":{"domain":"x","search":["s"]}}'
    # Without a version, libcni decodes into a map first: the last key wins.
    without = result_from_plugin("1.1.0", b"{" + rest)
    assert without.to_json() == '{"cniVersion":"1.1.0","dns":{"search":["s"]}}'


@pytest.mark.parametrize(
    ("stdout", "text"),
    [
        (b"", "unexpected end of JSON input"),  # 235
        (b"hello", "invalid character 'h' looking for beginning of value"),
        (b"[]", "the result is of type array, not object"),
        (b'"0.4.0"', "the result is of type string, not object"),
        (b"false", "the result is of type boolean, not object"),
        (b"{} x", "invalid character 'x' after top-level value"),  # 241
        (b'{"a":1e400}', "json: cannot unmarshal number 1e400 into Go value of type float64"),
    ],
)
def test_no_result(stdout: bytes, text: str) -> None:
    with pytest.raises(ResultError) as caught:
        result_from_plugin("1.0.0", stdout)
    assert str(caught.value) == f"failed to unmarshal raw result: {text}"


def test_a_plugin_with_an_unknown_version() -> None:  # 240
    with pytest.raises(ResultError, match=r'^unsupported CNI result version "7\.0\.0"$'):
        result_from_plugin("1.0.0", b'{"cniVersion":"7.0.0"}')
    with pytest.raises(ResultError, match=r'^unsupported CNI result version "1\.0"$'):
        result_from_plugin("1.0", b"{}")


# --- prevResult -----------------------------------------------------------------------------


def test_no_prev_result() -> None:  # 320
    conf = NetConf(cni_version="1.0.0")
    parse_prev_result(conf)
    assert conf == NetConf(cni_version="1.0.0")


def test_prev_result() -> None:  # 320
    conf = NetConf(cni_version="1.1.0", raw_prev_result=bridge())
    parse_prev_result(conf)
    assert conf.raw_prev_result is None
    assert conf.prev_result == create_result("1.1.0", dump(bridge()))


@pytest.mark.parametrize(
    "raw",
    [
        {},  # 321
        {"cniVersion": ""},  # 322
        {"CNIVersion": ""},
        {"cniVersion": None},
        {"CNIVersion": "1.0.0", "cniVersion": ""},
    ],
)
def test_prev_result_without_a_version(raw: dict[str, Any]) -> None:
    conf = NetConf(cni_version="1.1.0", raw_prev_result=dict(raw))
    before = dict(raw)
    parse_prev_result(conf)
    assert conf.prev_result == v100.Result(cni_version="1.1.0")
    assert raw == before


@pytest.mark.parametrize(
    "raw", [{"CNIVersion": "1.0.0"}, {"CNIVersion": "1.0.0", "cniVersion": None}]
)
def test_prev_result_with_a_version_in_another_spelling(raw: dict[str, Any]) -> None:
    conf = NetConf(cni_version="1.1.0", raw_prev_result=raw)
    parse_prev_result(conf)
    assert conf.prev_result == v100.Result(cni_version="1.0.0")


def test_prev_result_of_another_family() -> None:  # 323, 324
    conf = NetConf(cni_version="1.0.0", raw_prev_result={"cniVersion": "0.2.0"})
    with pytest.raises(ResultError) as caught:
        parse_prev_result(conf)
    assert str(caught.value) == (
        "could not parse prevResult: "
        'result type supports [1.0.0 1.1.0] but unmarshalled CNIVersion is "0.2.0"'
    )
    assert conf.raw_prev_result is None
    assert conf.prev_result is None


def test_prev_result_that_is_no_json() -> None:
    conf = NetConf(cni_version="1.0.0", raw_prev_result={"x": object()})
    with pytest.raises(errors.CNIError, match=r"^could not serialize prevResult: "):
        parse_prev_result(conf)


@pytest.mark.parametrize(
    ("members", "at_fault"),
    [
        (b'"dns":5,"ips":[{"address":"x"}]', "dns"),
        (b'"ips":[{"address":"x"}],"dns":5', r"ips\[0\]\.address"),
    ],
)
def test_the_first_mistake_in_the_document_is_reported(members: bytes, at_fault: str) -> None:
    with pytest.raises(ResultError, match=at_fault):
        create_result("1.0.0", b'{"cniVersion":"1.0.0",' + members + b"}")
