// SPDX-License-Identifier: GPL-2.0-only OR MIT
/* Flows, the keys that lead to them, and how long they live. Called by every stage. Must not know
 * what a segment is.
 */
#include <linux/file.h>
#include <linux/jhash.h>
#include <linux/module.h>
#include <linux/slab.h>

#include "symsplice.h"

static struct kmem_cache *flow_cache;
static atomic64_t last_id = ATOMIC64_INIT(0);

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

int ss_table_init_net(struct ss_net *ssn)
{
	return rhashtable_init(&ssn->keys, &key_params);
}

void ss_table_exit_net(struct ss_net *ssn)
{
	struct ss_flow *flow;

	for (;;) {
		rcu_read_lock();
		flow = list_first_or_null_rcu(&ssn->flows, struct ss_flow, list);
		if (flow)
			ss_flow_remove(flow);
		rcu_read_unlock();
		if (!flow)
			break;
	}
	flush_workqueue(ss_workers);
	rhashtable_destroy(&ssn->keys);
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
	flow->id = atomic64_inc_return(&last_id);
	INIT_DELAYED_WORK(&flow->work, ss_splice_work);
	for (side = 0; side < 2; side++) {
		__skb_queue_head_init(&flow->held[side].segments);
		flow->node[side].side = side;
	}
	return flow;
}

/* Adds it to the list of its namespace. False: there is no room, or the namespace goes. */
bool ss_flow_publish(struct ss_flow *flow, bool intent)
{
	struct ss_net *ssn = flow->ssn;
	bool added = false;

	spin_lock_bh(&ssn->lock);
	if (!ssn->closing && ssn->count < READ_ONCE(ss_flows_max)) {
		list_add_tail_rcu(&flow->list, &ssn->flows);
		flow->is_intent = intent;
		if (intent)
			list_add_rcu(&flow->intent, &ssn->intents);
		ssn->count++;
		added = true;
		queue_delayed_work(system_power_efficient_wq, &ssn->sweep, HZ);
	}
	spin_unlock_bh(&ssn->lock);
	return added;
}

static void no_intent(struct ss_flow *flow)
{
	if (flow->is_intent)
		list_del_rcu(&flow->intent);
	flow->is_intent = false;
}

/* It is spliced: its server's socket makes no SYN any more. */
void ss_flow_no_intent(struct ss_flow *flow)
{
	spin_lock_bh(&flow->ssn->lock);
	no_intent(flow);
	spin_unlock_bh(&flow->ssn->lock);
}

/* -EEXIST: a flow with these addresses and ports exists. Under flow->lock, or before anybody knows
 * of the flow.
 */
int ss_flow_add_key(struct ss_flow *flow, int side, const struct splice_key *key)
{
	struct ss_node *node = &flow->node[side];
	int err;

	node->key = *key;
	err = rhashtable_lookup_insert_fast(&flow->ssn->keys, &node->hash, key_params);
	if (!err) {
		node->hashed = true;
		flow->slot.leg[side].key = *key;
	}
	return err;
}

/* Under rcu_read_lock(). */
struct ss_flow *ss_table_find(struct ss_net *ssn, const struct splice_key *key, u8 *side)
{
	struct ss_node *node = rhashtable_lookup(&ssn->keys, key, key_params);

	if (!node)
		return NULL;
	*side = node->side;
	return container_of(node, struct ss_flow, node[node->side]);
}

/* Under rcu_read_lock(). */
struct ss_flow *ss_table_find_id(struct ss_net *ssn, u64 id)
{
	struct ss_flow *flow;

	list_for_each_entry_rcu(flow, &ssn->flows, list) {
		if (flow->id == id)
			return flow;
	}
	return NULL;
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
	dst_release(flow->dst[SPLICE_CLIENT]);
	dst_release(flow->dst[SPLICE_SERVER]);
	kmem_cache_free(flow_cache, flow);
	module_put(THIS_MODULE);
}

void ss_flow_put(struct ss_flow *flow)
{
	if (refcount_dec_and_test(&flow->refs))
		call_rcu(&flow->rcu, flow_free);
}

bool ss_flow_is_dead(struct ss_flow *flow)
{
	return READ_ONCE(flow->dead);
}

/* a) Whoever comes first sets `dead`; nobody who takes the lock later believes the flow.
 *    Nothing is queued any more either, so that the namespace's account of that is settled here.
 * b) Its keys lead nowhere: the next segments are the host's. Those that have found it already are in
 *    a read section and see `dead`.
 * c) It is out of the list, so neither sweep nor dump find it.
 * d) The table's reference goes. The worker may have the last one, and stops at `dead`.
 * e) Freed after a grace period: see flow_free().
 */
void ss_flow_remove(struct ss_flow *flow)
{
	struct ss_net *ssn = flow->ssn;
	int side;

	spin_lock_bh(&flow->lock);
	if (flow->dead) {
		spin_unlock_bh(&flow->lock);
		return;
	}
	WRITE_ONCE(flow->dead, true);
	ss_queue_purge(flow);
	for (side = 0; side < 2; side++) {
		struct ss_node *node = &flow->node[side];

		if (node->hashed)
			rhashtable_remove_fast(&ssn->keys, &node->hash, key_params);
		node->hashed = false;
		ss_track_side_event(flow, side, SPLICE_ON_EXPIRE);
	}
	spin_unlock_bh(&flow->lock);

	spin_lock_bh(&ssn->lock);
	list_del_rcu(&flow->list);
	no_intent(flow);
	ssn->count--;
	spin_unlock_bh(&ssn->lock);
	ss_flow_put(flow);
}
