"""Write statements back in nft's own syntax, for people."""

from __future__ import annotations

from collections.abc import Iterable

from skoopctl.kernel import nft

_INTEGER_META = frozenset({"mark", "priority"})


def render_statements(statements: Iterable[nft.Statement], comment: str = "") -> str:
    """Return a rule as ``nft list ruleset`` would print it, as near as the model allows."""
    words = [render_statement(statement) for statement in statements]
    if comment:
        words.append(f'comment "{comment}"')
    return " ".join(word for word in words if word)


def render_statement(statement: nft.Statement) -> str:  # noqa: C901, PLR0912
    """Return one statement."""
    match statement:
        case nft.MatchStatement():
            return _match(statement)
        case nft.VerdictStatement(kind=kind, chain=chain):
            return f"{kind} {chain}".rstrip()
        case nft.VmapStatement(key=key, data=data):
            return f"{render_expression(key)} vmap {render_expression(data)}"
        case nft.MangleStatement(key=key, value=value):
            return f"{render_expression(key)} set {_value_like(key, value)}"
        case nft.NatStatement():
            return _nat(statement)
        case nft.RejectStatement(type=kind, code=code):
            if kind == "tcp reset":
                return "reject with tcp reset"
            return f"reject with {kind} {code}" if code and code != "port-unreachable" else "reject"
        case nft.NotrackStatement():
            return "notrack"
        case nft.CounterStatement(packets=packets, octets=octets):
            return f"counter packets {packets} bytes {octets}"
        case nft.SetUpdateStatement(operation=operation, set_name=name, key=key, value=value):
            shown = render_expression(key) if key is not None else "…"
            shown += f" : {render_expression(value)}" if value is not None else ""
            return f"{operation} @{name} {{ {shown} }}"
        case nft.BudgetStatement(name=name):
            return name
        case nft.QueueStatement(bypass=bypass):
            return "queue flags bypass" if bypass else "queue"
        case nft.ForwardStatement(device=device):
            return f'fwd to "{device}"'
        case nft.TproxyStatement(target=target):
            return f"tproxy to {target}"
        case nft.SynproxyStatement():
            return "synproxy"
        case nft.NoEffectStatement(name=name):
            return name
        case nft.UnknownStatement(reason=reason):
            return reason


def render_expression(expression: nft.Expression) -> str:  # noqa: C901, PLR0912
    """Return one expression."""
    match expression:
        case nft.Literal(value=value):
            return str(value).lower() if isinstance(value, bool) else str(value)
        case nft.Prefix(address=address, length=length):
            return f"{address}/{length}"
        case nft.Range(low=low, high=high):
            return f"{render_expression(low)}-{render_expression(high)}"
        case nft.Payload(protocol=protocol, field=name):
            return f"{protocol} {name}"
        case nft.RawPayload(base=base, offset=offset, length=length):
            return f"@{base},{offset},{length}"
        case nft.Extension(kind=kind, name=name, field=field):
            return " ".join(
                word for word in (kind if not field or kind != "exthdr" else "", name, field) if word
            )
        case nft.RouteKey(key=key, family=family):
            return " ".join(word for word in ("rt", family, key) if word)
        case nft.Hash():
            return _hash(expression)
        case nft.Meta(key=key):
            return key if key in _BARE_META else f"meta {key}"
        case nft.Ct(key=key, direction=direction):
            return " ".join(word for word in ("ct", direction, key) if word)
        case nft.Fib(result=result, flags=flags):
            return f"fib {' . '.join(flags)} {result}"
        case nft.Concat(parts=parts):
            return " . ".join(render_expression(part) for part in parts)
        case nft.SetReference(name=name):
            return f"@{name}"
        case nft.AnonymousSet(elements=elements):
            return f"{{ {', '.join(_element(e) for e in elements)} }}"
        case nft.MapLookup(key=key, data=data):
            return f"{render_expression(key)} map {render_expression(data)}"
        case nft.Numgen(mode=mode, modulus=modulus, offset=offset):
            return f"numgen {mode} mod {modulus}" + (f" offset {offset}" if offset else "")
        case nft.Binary(operator=operator, left=left, right=right):
            return f"{render_expression(left)} {operator} {_value_like(left, right)}"
        case nft.FlagSet(names=names):
            return ",".join(names)
        case nft.UnknownExpression(reason=reason, raw=raw):
            return f"({reason}: {raw})" if raw else f"({reason})"


def _hash(expression: nft.Hash) -> str:
    words = [expression.kind]
    words += [render_expression(expression.key)] if expression.key is not None else []
    words += ["mod", str(expression.modulus)]
    words += ["seed", f"0x{expression.seed:x}"] if expression.seed is not None else []
    words += ["offset", str(expression.offset)] if expression.offset else []
    return " ".join(words)


_BARE_META = frozenset({"iif", "oif", "iifname", "oifname", "iifgroup", "oifgroup"})


def _match(statement: nft.MatchStatement) -> str:
    left, right = statement.left, statement.right
    words = [_masked(left)]
    presence = isinstance(right, nft.Literal) and isinstance(right.value, bool)
    if statement.operator not in {"==", "in"} or (isinstance(left, nft.Binary) and not presence):
        words.append("==" if statement.operator == "in" else statement.operator)
    words.append(_value_like(left, right))
    return " ".join(words)


def _masked(left: nft.Expression) -> str:
    """Render the left side of a comparison: there nft sets the flags of a mask in brackets."""
    if isinstance(left, nft.Binary):
        right = left.right
        text = f"({' | '.join(right.names)})" if isinstance(right, nft.FlagSet) else _value_like(left, right)
        return f"{_masked(left.left)} {left.operator} {text}"
    return render_expression(left)


def _value_like(model: nft.Expression, value: nft.Expression) -> str:
    """Render a value as its key's type is printed: marks in hexadecimal, interface names in quotes."""
    if isinstance(value, nft.Literal):
        if isinstance(value.value, int) and not isinstance(value.value, bool) and _is_mark(model):
            return f"0x{value.value:08x}"
        if isinstance(model, nft.Meta) and model.key in _BARE_META and isinstance(value.value, str):
            return f'"{value.value}"'
        if isinstance(model, nft.Fib | nft.Extension) and isinstance(value.value, bool):
            return "exists" if value.value else "missing"
    if isinstance(value, nft.AnonymousSet) and not isinstance(model, nft.Concat):
        return f"{{ {', '.join(_value_like(model, e.key) for e in value.elements)} }}"
    return render_expression(value)


def _is_mark(expression: nft.Expression) -> bool:
    match expression:
        case nft.Meta(key=key):
            return key in _INTEGER_META
        case nft.Ct(key=key):
            return key == "mark"
        case nft.Binary(left=left):
            return _is_mark(left)
        case _:
            return False


def _nat(statement: nft.NatStatement) -> str:
    words = [statement.kind]
    target = ""
    if statement.address is not None:
        # ``dnat to`` needs no family where the table has one; a map does.
        if isinstance(statement.address, nft.MapLookup) and statement.family:
            words.append(statement.family)
        if statement.address_and_port:
            words.append("addr . port")
        if "netmap" in statement.flags:
            words.append("prefix")
        target = render_expression(statement.address)
    if statement.port is not None:
        target = f"[{target}]" if ":" in target else target
        target += f":{render_expression(statement.port)}"
    if target:
        words += ["to", target]
    flags = [flag for flag in statement.flags if flag != "netmap"]
    if flags:
        words.append(",".join(flags))
    return " ".join(words)


def _element(element: nft.Element) -> str:
    key = render_expression(element.key)
    if element.value is None:
        return key
    if isinstance(element.value, nft.VerdictStatement):
        return f"{key} : {render_statement(element.value)}"
    return f"{key} : {render_expression(element.value)}"
