from napari_fastsam3d.inference.cache import Cache


def test_the_least_recently_used_goes_first():
    cache = Cache[str, int](2)
    cache.put("a", 1)
    cache.put("b", 2)
    assert cache.get("a") == 1
    cache.put("c", 3)
    assert "b" not in cache
    assert (cache.get("a"), cache.get("b"), cache.get("c")) == (1, None, 3)


def test_the_budget_is_one_of_weight():
    cache = Cache[str, str](10, len)
    cache.put("a", "1234")
    cache.put("b", "1234")
    cache.put("c", "12")
    assert len(cache) == 3
    cache.put("d", "1")
    assert "a" not in cache
    assert len(cache) == 3


def test_putting_again_replaces_and_does_not_weigh_twice():
    cache = Cache[str, str](6, len)
    for _ in range(10):
        cache.put("a", "1234")
    cache.put("b", "12")
    assert (cache.get("a"), cache.get("b")) == ("1234", "12")


def test_the_newest_stays_however_heavy():
    cache = Cache[str, str](3, len)
    cache.put("a", "12")
    cache.put("b", "123456")
    assert (cache.get("a"), cache.get("b")) == (None, "123456")
    cache.put("c", "1")
    assert (cache.get("b"), cache.get("c")) == (None, "1")
