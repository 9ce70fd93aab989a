/** What a splice-http answers on its control socket, as splice-ctl checks it. */
import { z } from 'zod';
import type { LookupAnswer, PurgeAnswer } from '../control/http-cache-routes.js';
import type { HttpTotals } from '../control/http-totals.js';

export const problemShape = z.object({ error: z.string(), next: z.string() });

const counted = z.object({ requests: z.number(), bytes: z.number() });

const storeShape = z.object({
  objects: z.number(),
  files: z.number(),
  diskBytes: z.number(),
  logBytes: z.number(),
  deadBytes: z.number(),
  memoryObjects: z.number(),
  memoryBytes: z.number(),
  fills: z.number(),
  openFiles: z.number(),
  memoryHits: z.number(),
  diskReads: z.number(),
  stored: z.number(),
  evicted: z.number(),
  purged: z.number(),
  lost: z.number(),
  failedFills: z.number(),
  waiting: z.number(),
  live: z.number(),
});

export const httpShape: z.ZodType<HttpTotals> = z.object({
  connections: z.number(),
  idle: z.number(),
  underWay: z.number(),
  tunnels: z.number(),
  requests: z.number(),
  failed: z.number(),
  outcomes: z.object({
    none: counted,
    hit: counted,
    stale: counted,
    miss: counted,
    revalidated: counted,
    bypass: counted,
    collapsed: counted,
    partial: counted,
  }),
  bytesIn: z.number(),
  bytesOut: z.number(),
  hitRatio: z.number().exactOptional(),
  byteHitRatio: z.number().exactOptional(),
  fills: z.object({ begun: z.number(), stored: z.number(), failed: z.number(), bytes: z.number() }),
  originConnections: z.object({ opened: z.number(), reused: z.number(), failed: z.number() }),
  pool: z.array(
    z.object({
      origin: z.string(),
      busy: z.number(),
      idle: z.number(),
      connecting: z.number(),
      waiting: z.number(),
    }),
  ),
  store: storeShape.exactOptional(),
});

export const purgeShape: z.ZodType<PurgeAnswer> = z.object({
  status: z.literal('purged'),
  mode: z.enum(['hard', 'soft']),
  objects: z.number(),
  durable: z.boolean(),
});

export const lookupShape: z.ZodType<LookupAnswer> = z.object({
  url: z.string(),
  stored: z.array(
    z.object({
      status: z.number(),
      ageMs: z.number(),
      lifetimeMs: z.number(),
      freshMs: z.number(),
      basis: z.enum(['explicit', 'heuristic', 'negative', 'none']),
      validate: z.enum(['purged', 'invalid', 'no-cache']).exactOptional(),
      bytes: z.number(),
      length: z.number().exactOptional(),
      complete: z.boolean(),
      etag: z.string().exactOptional(),
      type: z.string().exactOptional(),
      encoding: z.string().exactOptional(),
      vary: z.array(z.string()),
      filling: z.literal(true).exactOptional(),
    }),
  ),
});
