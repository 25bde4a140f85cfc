"""The ``images`` resource, which follows rules of its own.

What lives here: kinds of images, the list of products that have some, one product's images, and one
neutral picture that stands for every image. What does not: uploads, which nobody needs of a sandbox.
"""

from __future__ import annotations

from ps_qb_pipeline.sandbox.shop.answers import CONTENT_TYPE, Answer, Refusal, Wire, php_warning, served
from ps_qb_pipeline.sandbox.shop.query import did_you_mean, php_int
from ps_qb_pipeline.sandbox.shop.render import document, php_json
from ps_qb_pipeline.sandbox.shop.shop import Shop

KINDS = ("general", "products", "categories", "manufacturers", "suppliers", "stores", "customizations")
MIME_TYPES = "image/gif, image/jpg, image/jpeg, image/pjpeg, image/png, image/webp, image/x-png"
#: Sizes that pictures of products come in, in the order of their names.
SIZES = (
    (1, "cart_default"),
    (4, "home_default"),
    (5, "large_default"),
    (3, "medium_default"),
    (2, "small_default"),
)
PICTURE = bytes.fromhex(
    "ffd8ffdb004300030202020202030202020303030304060404040404080606050609080a0a090809090a0c0f0c0a0b0e0b09090d110d0e0f"
    "101011100a0c12131210130f101010ffc9000b080001000101011100ffcc000600101005ffda0008010100003f00d2cf20ffd9"
)
NO_NODE_NAME = php_warning('Undefined array key "objectsNodeName"', 107, "WebserviceOutputJSON.php")
EMPTY_SHA1 = {"Content-Sha1": "da39a3ee5e6b4b0d3255bfef95601890afd80709"}


def picture(shop: Shop, segments: tuple[str, ...], wire: Wire, base: str) -> Answer:
    """The answer to GET ``/images/...``; in JSON most of it is broken, as it is in the core.

    Errors:
        Refusal: 48 for an unknown kind, 57 for an unknown image.
    """
    path = [s for s in segments if s]
    if not path:
        return served(200, "" if wire == "JSON" else document(_kinds(base)), wire)
    if path[0] not in KINDS:
        refusal = did_you_mean(400, f'Image of type "{path[0]}" does not exist', path[0], list(KINDS), 48)
        refusal.headers |= EMPTY_SHA1
        raise refusal
    if path[0] != "products":
        return Answer(404)
    if len(path) == 1:
        return _products(shop, wire, base)
    product = php_int(path[1])
    images = _images_of(shop, product)
    if not images:
        return Answer(404)
    if len(path) == 2:
        return _one_product(product, images, wire, base)
    if php_int(path[2]) not in images:
        refusal = Refusal(400, 57, "This image id does not exist")
        refusal.headers |= EMPTY_SHA1
        raise refusal
    answer = served(200, "", "XML")
    answer.body, answer.content_type = PICTURE, "image/jpeg"
    return answer


def _kinds(base: str) -> str:
    rights = 'get="true" put="false" post="false" patch="false" delete="false" head="true"'
    lines = [
        f'<{kind} xlink:href="{base}api/images/{kind}" {rights} upload_allowed_mimetypes="{MIME_TYPES}"/>\n'
        for kind in KINDS
    ]
    return "<image_types>\n" + "".join(lines) + "</image_types>\n"


def _images_of(shop: Shop, product: int) -> list[int]:
    row = shop.get("products", product)
    return [int(entry["id"]) for entry in ((row or {}).get("associations") or {}).get("images") or ()]


def _products(shop: Shop, wire: Wire, base: str) -> Answer:
    with_images = [i for i in shop.tables["products"].ids if _images_of(shop, i)]
    if wire == "JSON":
        entries = [{"id": i} for i in [*(i for i, _ in SIZES), *with_images]]
        return _broken({"": entries}, [(3, NO_NODE_NAME)] * len(entries))
    types = "".join(
        f'<image_type id="{i}" name="{name}" xlink:href="{base}api/image_types/{i}"/>\n' for i, name in SIZES
    )
    images = "".join(f'<image id="{i}" xlink:href="{base}api/images/products/{i}"/>\n' for i in with_images)
    return served(200, document(f"<image_types>\n{types}</image_types>\n<images>\n{images}</images>\n"), wire)


def _one_product(product: int, images: list[int], wire: Wire, base: str) -> Answer:
    if wire == "JSON":
        entries = [{"id": str(product)}, *({"id": i} for i in images)]
        errors = [(3, NO_NODE_NAME)] * len(entries)
        return _broken({"": entries}, [*errors, (61, "This image does not exist on disk")])
    lines = "".join(
        f'<declination id="{i}" xlink:href="{base}api/images/products/{product}/{i}"/>\n' for i in images
    )
    return served(200, document(f'<image id="{product}">\n{lines}</image>\n'), wire)


def _broken(content: dict[str, object], errors: list[tuple[int, str]]) -> Answer:
    body = php_json(content | {"errors": [{"code": code, "message": message} for code, message in errors]})
    return Answer(500, body.encode(), CONTENT_TYPE["JSON"], dict(EMPTY_SHA1))
