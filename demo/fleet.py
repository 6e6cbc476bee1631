"""The fleet: a web shop in two zones. This file is the whole story; everything that Chalkmark shows comes from it.

    shoppers ─> frontend ─┬─> catalogue ──┬─> pricing ─ ─> stock       (─ ─: one call in 200)
                          ├─> recommendations ─> catalogue
                          ├─> cart        └─> stock (on a cache miss)
                          └─> checkout ─┬─> cart, pricing, stock, payments (retried)
                                        ├─> shipping ─> carrier        (a third party, not instrumented)
                                        └═> mailer                     (═: by a queue, nobody waits)

Beside it runs `billing` (faults.py), whose home-made tracing is wrong in every way that real ones are. The constants are
what the load amplification must come to, exactly: tests hold Chalkmark to them.
"""

from __future__ import annotations

import random

from demo.blueprint import Host, Json, Service
from demo.calls import Cache, CallFailedError, annotate, call, publish, retry, together, work

PAGE = 20
"""Products on a catalogue page, priced in parallel."""
FOUND = 10
"""Products that a search finds, priced one after the other: the mistake to find."""
RECOMMENDED = 4
"""Products that are looked up to recommend some."""
BASKET = 3
"""Products in a basket."""
CARRIERS = 2
"""Offers that are asked for to ship a parcel."""
RARE = 200
"""One price in so many has to be worked out from the cost; one request in so many asks for the sales report."""
CHARGE_FAILS = 0.15
"""Share of payments that fail at the first attempt, and at every further one."""
CHARGE_ATTEMPTS = 3

ZONE_A, ZONE_B = "north-1a", "north-1b"
WEB = Host("web-a1", ZONE_A)
APP_A1 = Host("app-a1", ZONE_A)
APP_A2 = Host("app-a2", ZONE_A)
APP_B1 = Host("app-b1", ZONE_B)
APP_B2 = Host("app-b2", ZONE_B)
SKEWED = Host("pay-b1", ZONE_B, clock_offset_ms=-350)

frontend = Service("frontend", WEB, "http", exports="otlp-grpc")
catalogue = Service("catalogue", APP_A1, "http", exports="otlp-http")
cart = Service("cart", APP_A1, "http", exports="otlp-http")
checkout = Service("checkout", APP_A2, "grpc", exports="otlp-grpc")
pricing = Service("pricing", APP_A2, "grpc", exports="otlp-grpc")
stock = Service("stock", APP_B1, "http", exports="otlp-http")
recommendations = Service("recommendations", APP_B1, "http", exports="otlp-grpc")
payments = Service("payments", SKEWED, "grpc", exports="otlp-http")
shipping = Service("shipping", APP_B2, "http", exports="zipkin")
mailer = Service("mailer", APP_B2, "queue", exports="otlp-grpc")
carrier = Service("carrier", Host("elsewhere", "unknown"), "http", exports="nothing")

SERVICES = {
    s.name: s for s in (frontend, catalogue, cart, checkout, pricing, stock, recommendations, payments, shipping, mailer, carrier)
}

# What shoppers do, in shares of RARE requests: the load generator deals them from a shuffled deck, so shares are exact.
SHOPPING = {
    "GET /": 50,
    "GET /products/{sku}": 65,
    "GET /search": 40,
    "POST /orders": 44,
    "GET /reports/sales": 1,
}


# -- frontend: what shoppers see


@frontend.serves("GET /")
async def home() -> None:
    await together(
        call(catalogue, "GET /products"),
        call(recommendations, "GET /recommendations"),
    )
    await work(2)


@frontend.serves("GET /products/{sku}")
async def product_page(sku: str) -> None:
    await call(catalogue, "GET /products/{sku}", sku=sku)
    await call(recommendations, "GET /recommendations")
    await work(1)


@frontend.serves("GET /search")
async def search_page() -> None:
    await call(catalogue, "GET /search")
    await work(1)


@frontend.serves("POST /orders")
async def order() -> None:
    user = str(random.randrange(1000))
    await call(checkout, "PlaceOrder", user=user)
    await call(cart, "DELETE /carts/{user}", user=user)


@frontend.serves("GET /reports/sales")
async def sales_report() -> None:
    for _ in range(3):
        await call(catalogue, "GET /products")
    await call(shipping, "GET /parcels")


# -- catalogue

product_cache = Cache(lifetime_s=10)


@catalogue.serves("GET /products")
async def products() -> None:
    await work(3)
    await together(*[call(pricing, "Price", sku=str(sku)) for sku in range(PAGE)])


@catalogue.serves("GET /products/{sku}")
async def product(sku: str) -> None:
    known = product_cache.get(sku)
    annotate(cache_hit=known is not None)
    if known is None:
        product_cache.put(sku, await call(stock, "GET /stock/{sku}", sku=sku))
    await call(pricing, "Price", sku=sku)


@catalogue.serves("GET /search")
async def search() -> None:
    await work(8)
    for sku in range(FOUND):
        await call(pricing, "Price", sku=str(sku))


# -- recommendations, pricing, stock, cart


@recommendations.serves("GET /recommendations")
async def recommend() -> None:
    await work(4)
    best = [str(random.randrange(100)) for _ in range(RECOMMENDED)]
    await together(*[call(catalogue, "GET /products/{sku}", sku=sku) for sku in best])


@pricing.serves("Price")
async def price(sku: str) -> Json:
    await work(1)
    if random.randrange(RARE) == 0:
        await call(stock, "GET /costs/{sku}", sku=sku)
    return {"sku": sku, "price": 100 + int(sku)}


@stock.serves("GET /stock/{sku}")
async def in_stock(sku: str) -> Json:
    await work(3)
    return {"sku": sku, "pieces": random.randrange(50)}


@stock.serves("GET /costs/{sku}")
async def costs(sku: str) -> None:
    await work(40)


@stock.serves("POST /reservations/{sku}")
async def reserve(sku: str) -> None:
    await work(5)


@cart.serves("GET /carts/{user}")
async def basket_of(user: str) -> Json:
    await work(2)
    return {"user": user, "skus": [str(random.randrange(100)) for _ in range(BASKET)]}


@cart.serves("DELETE /carts/{user}")
async def empty_basket(user: str) -> None:
    await work(2)


# -- an order: in sequence, in parallel, with retries, and handed on by a queue


@checkout.serves("PlaceOrder")
async def place_order(user: str) -> Json:
    basket = await call(cart, "GET /carts/{user}", user=user)
    await together(*[call(pricing, "Price", sku=sku) for sku in basket["skus"]])
    for sku in basket["skus"]:
        await call(stock, "POST /reservations/{sku}", sku=sku)
    await retry(CHARGE_ATTEMPTS, lambda: call(payments, "Charge", user=user))
    await call(shipping, "POST /parcels")
    await publish(mailer, "order-confirmations", user=user)
    return {"ordered": len(basket["skus"])}


@payments.serves("Charge")
async def charge(user: str) -> None:
    await work(15)
    if random.random() < CHARGE_FAILS:
        raise CallFailedError("the bank does not answer")


@shipping.serves("POST /parcels")
async def ship() -> None:
    await together(*[call(carrier, "GET /offers") for _ in range(CARRIERS)])
    await work(2)


@shipping.serves("GET /parcels")
async def parcels() -> None:
    await work(25)


@carrier.serves("GET /offers")
async def offer() -> None:
    await work(12)


@mailer.serves("order-confirmations")
async def confirm(user: str) -> None:
    await work(30)
