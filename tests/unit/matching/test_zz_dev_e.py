from tests.unit.matching import test_match as m, together
from tests.unit.matching.reference import Reference
from diracx_tasks.core.redis import redis
from hypothesis import settings, Phase, note
import collections
settings.register_profile("dev", phases=[Phase.generate], report_multiple_bugs=False, max_examples=60)
C = collections.Counter()
orig = together.Together.ask
def ask(self, node, count=1):
    C['asks'] += 1
    r = lambda: {k: redis().zrange(k,0,-1,withscores=True) for k in redis().scan_iter(f"{{{self.vo}}}:m:ring*")}
    before = r(), {k: dict(v.passes) for k,v in self.reference.rings.items()}
    try:
        n = orig(self, node, count)
    except AssertionError:
        note(f"{before}\nafter {r()}\n{node} {count}\n{[ (j.job_id, j.job_type,j.group,j.owner,j.priority, j.requirements) for j in self.reference.firsts()]}")
        raise
    note(f"ask {node.tags} {count} {n} ")
    C['taken', len(n)] += 1; C["want",count]+=1
    return n
together.Together.ask = ask
on = Reference.next
def nxt(self, room, rules=None):
    from tests.unit.matching.reference import alternatives, welcome
    k = sum(welcome(j, room.node) and any(room.fits(o) for o in alternatives(dict(j.requirements))) for j in self.firsts())
    C['choice', min(k,4)] += 1
    return on(self, room, rules) if rules else on(self, room)
Reference.next = nxt
test_x = m.test_every_pilot_gets_what_the_reference_gives
test_x._hypothesis_internal_use_settings = settings(settings.get_profile("dev"), deadline=None, database=None, suppress_health_check=m.FIXTURE)
def test_count():
    print(C)
