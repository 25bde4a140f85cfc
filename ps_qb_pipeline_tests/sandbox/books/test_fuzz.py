"""Whatever is sent, the books answer; they do not break."""

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ps_qb_pipeline.sandbox.books import schema
from ps_qb_pipeline.sandbox.books.entities import ENTITIES
from ps_qb_pipeline_tests.sandbox.books.bench import Bench

BENCHES = {}
SCALARS = st.one_of(
    st.none(), st.booleans(), st.integers(-5, 200), st.decimals("-99", "999", places=2), st.text(max_size=6),
    st.sampled_from(["1", "35", "2026-03-15", "EUR", "TaxInclusive", "Customer", "Invoice", "SHIPPING_ITEM_ID"]),
)  # fmt: skip
REFERENCES = st.fixed_dictionaries(
    {"value": st.one_of(SCALARS, st.sampled_from(["1", "2", "5", "10", "84"]))}
)


def value_of(name, depth):
    """Return values of a field's type, mostly right ones."""
    kind = schema.type_of(name)
    if kind is None:
        values = schema.enum(name)
        if values:
            return st.sampled_from(sorted(values))
        if name == "date":
            return st.sampled_from(["2026-01-31", "2025-06-01", "2024-01-01"])
        if name in schema.NUMBERS:
            return st.decimals("-20", "500", places=2)
        return SCALARS
    if kind.is_text:
        return REFERENCES
    return object_of(name, depth - 1) if depth else st.just({})


def object_of(name, depth=3):
    """Return objects of a type with some of its fields."""
    kind = schema.type_of(name)

    @st.composite
    def build(draw):
        fields = (
            draw(st.lists(st.sampled_from(sorted(kind.fields)), max_size=7, unique=True))
            if kind.fields
            else []
        )
        if "Line" in kind.fields and depth == 3:
            fields = [*fields, "Line", "CustomerRef", "VendorRef", "TotalAmt", "DepositToAccountRef"]
        if "DetailType" in kind.fields:
            fields = [*fields, "DetailType", "Amount", "SalesItemLineDetail", "LinkedTxn"]
        body = {}
        for field in fields:
            if field not in kind.fields:
                continue
            facts = kind.fields[field]
            values = value_of(facts.type, depth)
            body[field] = draw(st.lists(values, max_size=3) if facts.many else values)
        if draw(st.integers(0, 9)) == 0 and body:
            body[draw(st.sampled_from(sorted(body)))] = draw(
                st.one_of(SCALARS, st.lists(SCALARS, max_size=2))
            )
        return body

    return build()


def bench(country):
    if country not in BENCHES:
        BENCHES[country] = Bench(country)
    return BENCHES[country]


@settings(max_examples=250, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=st.data(), country=st.sampled_from(["ie", "us"]), name=st.sampled_from(sorted(ENTITIES)))
def test_any_body_is_accepted_or_refused(data, country, name):
    """A body of an entity's own fields with any values is written or refused; the ledger balances after it."""
    books = bench(country)
    body = data.draw(object_of(name))
    operation = data.draw(
        st.sampled_from([{}, {}, {}, {"operation": "delete"}, {"operation": "void"}, {"operation": "update"}])
    )
    status, answer = books.call("POST", ENTITIES[name].url, body, **operation)
    assert status in {200, 400}, answer
    sums = books.company.store.connection.execute("select coalesce(sum(home), 0) from entries").fetchone()
    assert sums == (0,)


@settings(max_examples=60, deadline=None)
@given(
    raw=st.binary(max_size=60),
    path=st.sampled_from(
        [
            "customer",
            "batch",
            "invoice",
            "upload",
            "taxservice/taxcode",
            "query",
            "exchangerate",
            "recurringtransaction",
        ]
    ),
)
def test_any_bytes_are_refused_in_words(raw, path):
    """A body that is no JSON, or not the right JSON, is a Fault."""
    status, answer = bench("ie").call("POST", path, raw)
    assert status in {200, 400}
    assert "Fault" in answer or status == 200
