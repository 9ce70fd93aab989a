// SPDX-License-Identifier: GPL-2.0-only OR MIT
/* Flows, what leads to them (keys, numbers, the sockets of intents), and how long they live. Called by
 * every stage. Must not know what a segment is.
 */
#include <linux/file.h>
#include <linux/hash.h>
#include <linux/module.h>
#include <linux/rculist.h>
#include <linux/slab.h>

#include "symsplice.h"

static struct kmem_cache *flow_cache;

static const struct rhashtable_params key_params = {
	.key_len = sizeof(struct splice_key),
	.key_offset = offsetof(struct ss_node, key),
	.head_offset = offsetof(struct ss_node, hash),
	.automatic_shrinking = true,
};

int ss_table_init(void)
{
	flow_cache = kmem_cache_create("symsplice_flow", sizeof(struct ss_flow), 0,
				       SLAB_HWCACHE_ALIGN | SLAB_ACCOUNT, NULL);
	return flow_cache ? 0 : -ENOMEM;
}

void ss_table_exit(void)
{
	rcu_barrier();
	kmem_cache_destroy(flow_cache);
}

/* What a namespace needs that has asked for something. */
int ss_table_init_net(struct ss_net *ssn)
{
	int err = -ENOMEM;

	ssn->counts = alloc_percpu_gfp(struct ss_counts, GFP_KERNEL_ACCOUNT);
	if (!ssn->counts)
		return err;
	ssn->intents = kcalloc(1 << SS_INTENT_BITS, sizeof(*ssn->intents), GFP_KERNEL_ACCOUNT);
	if (!ssn->intents)
		goto err_counts;
	err = rhashtable_init(&ssn->keys, &key_params);
	if (!err)
		return 0;
	kfree(ssn->intents);
	ssn->intents = NULL;
err_counts:
	free_percpu(ssn->counts);
	ssn->counts = NULL;
	return err;
}

void ss_table_exit_net(struct ss_net *ssn)
{
	struct ss_flow *flow;

	while ((flow = ss_table_get_from(ssn, 0))) {
		ss_flow_remove(flow);
		ss_flow_put(flow);
	}
	flush_workqueue(ss_workers);
	rhashtable_destroy(&ssn->keys);
	kfree(ssn->intents);
	free_percpu(ssn->counts);
}

struct ss_flow *ss_flow_create(struct ss_net *ssn)
{
	struct ss_flow *flow;
	int side;

	/* Fails while the module is being unloaded, whose exit waits for this very request. */
	if (!try_module_get(THIS_MODULE))
		return NULL;
	flow = kmem_cache_zalloc(flow_cache, GFP_KERNEL);
	if (!flow) {
		module_put(THIS_MODULE);
		return NULL;
	}
	spin_lock_init(&flow->lock);
	refcount_set(&flow->refs, 1);
	flow->ssn = ssn;
	flow->id = atomic64_inc_return(&ssn->last_id);
	flow->slot.phase = SPLICE_PHASE_FREE;
	INIT_HLIST_NODE(&flow->intent);
	INIT_DELAYED_WORK(&flow->work, ss_splice_work);
	for (side = 0; side < 2; side++) {
		__skb_queue_head_init(&flow->held[side].segments);
		flow->node[side].side = side;
	}
	return flow;
}

/* Gives a place back that ss_flow_publish() has taken. */
static void leave(struct ss_flow *flow)
{
	struct ss_net *ssn = flow->ssn;

	spin_lock_bh(&ssn->lock);
	hlist_del_init_rcu(&flow->intent);
	ssn->count--;
	spin_unlock_bh(&ssn->lock);
}

/* Adds it to its namespace; with `server`, as the intent of that socket. From here on ss_flow_remove()
 * is how it goes. -ENOSPC: there is no room; -ENOMEM.
 */
int ss_flow_publish(struct ss_flow *flow, struct sock *server)
{
	struct ss_net *ssn = flow->ssn;
	int err = -ENOSPC;

	spin_lock_bh(&ssn->lock);
	if (!ssn->closing && ssn->count < READ_ONCE(ss_flows_max)) {
		ssn->count++;
		if (server)
			hlist_add_head_rcu(&flow->intent, &ssn->intents[hash_ptr(server, SS_INTENT_BITS)]);
		err = 0;
		queue_delayed_work(system_power_efficient_wq, &ssn->sweep, HZ);
	}
	spin_unlock_bh(&ssn->lock);
	if (err)
		return err;
	err = xa_insert_bh(&ssn->flows, flow->id, flow, GFP_KERNEL_ACCOUNT);
	if (err)
		leave(flow);
	return err;
}

/* It is spliced: its server's socket makes no SYN any more. */
void ss_flow_no_intent(struct ss_flow *flow)
{
	spin_lock_bh(&flow->ssn->lock);
	hlist_del_init_rcu(&flow->intent);
	spin_unlock_bh(&flow->ssn->lock);
}

void ss_flow_drop_key(struct ss_flow *flow, int side)
{
	struct ss_node *node = &flow->node[side];

	if (node->hashed)
		rhashtable_remove_fast(&flow->ssn->keys, &node->hash, key_params);
	node->hashed = false;
}

/* A socket may connect again, elsewhere: the key that it had leads nowhere then, and what was seen there
 * was seen of another connection. -EEXIST: a flow with these addresses and ports exists.
 */
int ss_flow_set_key(struct ss_flow *flow, int side, const struct splice_key *key)
{
	struct ss_node *node = &flow->node[side];
	int err;

	if (node->hashed && !memcmp(&node->key, key, sizeof(*key)))
		return 0;
	ss_flow_drop_key(flow, side);
	node->key = *key;
	flow->slot.leg[side].flags &= ~SPLICE_LEG_SEEN;
	err = rhashtable_lookup_insert_fast(&flow->ssn->keys, &node->hash, key_params);
	if (!err) {
		node->hashed = true;
		flow->slot.leg[side].key = *key;
	}
	return err;
}

/* Whether a flow that was found by `key` is to be believed: it is there, and the key still its own. */
bool ss_flow_is(const struct ss_flow *flow, int side, const struct splice_key *key)
{
	const struct ss_node *node = &flow->node[side];

	return !flow->dead && node->hashed && !memcmp(&node->key, key, sizeof(*key));
}

struct ss_flow *ss_table_find(struct ss_net *ssn, const struct splice_key *key, u8 *side)
{
	struct ss_node *node = rhashtable_lookup(&ssn->keys, key, key_params);

	if (!node)
		return NULL;
	*side = node->side;
	return container_of(node, struct ss_flow, node[node->side]);
}

struct ss_flow *ss_table_find_intent(struct ss_net *ssn, const struct sock *server)
{
	struct ss_flow *flow;

	hlist_for_each_entry_rcu(flow, &ssn->intents[hash_ptr(server, SS_INTENT_BITS)], intent) {
		if (READ_ONCE(flow->sk[SPLICE_SERVER]) == server)
			return flow;
	}
	return NULL;
}

/* A flow by its number, with a reference. */
struct ss_flow *ss_table_get(struct ss_net *ssn, u64 id)
{
	struct ss_flow *flow;

	rcu_read_lock();
	flow = xa_load(&ssn->flows, id);
	if (flow && !ss_flow_get_maybe_dead(flow))
		flow = NULL;
	rcu_read_unlock();
	return flow;
}

/* The first flow with this number or a higher one, with a reference. */
struct ss_flow *ss_table_get_from(struct ss_net *ssn, u64 id)
{
	unsigned long at = id;
	struct ss_flow *flow;

	rcu_read_lock();
	for (flow = xa_find(&ssn->flows, &at, ULONG_MAX, XA_PRESENT); flow;
	     flow = xa_find_after(&ssn->flows, &at, ULONG_MAX, XA_PRESENT)) {
		if (ss_flow_get_maybe_dead(flow))
			break;
	}
	rcu_read_unlock();
	return flow;
}

/* For whoever keeps it beyond the read section in which it was found. False: it is being freed. */
bool ss_flow_get_maybe_dead(struct ss_flow *flow)
{
	return refcount_inc_not_zero(&flow->refs);
}

void ss_flow_drop_sockets(struct ss_flow *flow)
{
	int side;

	for (side = 0; side < 2; side++) {
		if (flow->sk[side])
			sock_put(flow->sk[side]);
		flow->sk[side] = NULL;
		if (flow->file[side])
			fput(flow->file[side]);
		flow->file[side] = NULL;
	}
}

/* The module goes last: what follows module_put() is waited for by rcu_barrier(). */
static void flow_free(struct rcu_head *rcu)
{
	struct ss_flow *flow = container_of(rcu, struct ss_flow, rcu);

	ss_flow_drop_sockets(flow);
	dst_release(flow->route[SPLICE_CLIENT].dst);
	dst_release(flow->route[SPLICE_SERVER].dst);
	kmem_cache_free(flow_cache, flow);
	module_put(THIS_MODULE);
}

void ss_flow_put(struct ss_flow *flow)
{
	if (refcount_dec_and_test(&flow->refs))
		call_rcu(&flow->rcu, flow_free);
}

/* Under its lock. */
static void kill(struct ss_flow *flow)
{
	int side;

	WRITE_ONCE(flow->dead, true);
	ss_queue_purge(flow);
	for (side = 0; side < 2; side++) {
		ss_flow_drop_key(flow, side);
		ss_track_side_event(flow, side, SPLICE_ON_EXPIRE);
	}
}

/* Behind its lock, once, by who has killed it. */
static void bury(struct ss_flow *flow)
{
	xa_erase_bh(&flow->ssn->flows, flow->id);
	leave(flow);
	ss_flow_put(flow);
}

/* a) Whoever comes first sets `dead`; nobody who takes the lock later believes the flow.
 *    Nothing is queued any more either, so that the namespace's account of that is settled here.
 * b) Its keys lead nowhere: the next segments are the host's. Those that have found it already are in
 *    a read section and see `dead`.
 * c) Its number leads nowhere, so neither sweep nor dump find it; nor does a SYN of its server's socket.
 * d) The table's reference goes. The worker may have the last one, and stops at `dead`; the ears of
 *    sockets have one each, until whoever ends a flow in TRANSIT has closed them.
 * e) Freed after a grace period: see flow_free().
 */
void ss_flow_remove(struct ss_flow *flow)
{
	spin_lock_bh(&flow->lock);
	if (flow->dead) {
		spin_unlock_bh(&flow->lock);
		return;
	}
	kill(flow);
	spin_unlock_bh(&flow->lock);
	bury(flow);
}

/* The same for one that is an intent, and gives what has waited. False: it is spliced, or dead, by now,
 * and nothing was done.
 */
bool ss_flow_remove_intent(struct ss_flow *flow, struct sk_buff_head *waiting)
{
	int side;

	spin_lock_bh(&flow->lock);
	if (flow->dead || flow->slot.phase != SPLICE_PHASE_FREE) {
		spin_unlock_bh(&flow->lock);
		return false;
	}
	for (side = 0; side < 2; side++)
		ss_queue_take(flow, side, waiting);
	kill(flow);
	spin_unlock_bh(&flow->lock);
	bury(flow);
	return true;
}
