/**
 * What the city is now, as views of its events. A deal's states and the reasons of a refund are numbered as in IEscrow, the
 * ends of a subscription as in ISubscription, a device's status and assurance as in IDeviceRegistry.
 */
export const VIEWS = `
create view offers as
select o.args->>'offerId' as offer_id, o.args->>'streamId' as stream_id, o.args->>'seller' as seller,
  o.args->'stream' as stream, o.args->'terms' as terms, o.block, o.index, b.at, o.tx,
  not exists (
    select 1 from events c where c.args->>'offerId' = o.args->>'offerId' and c.contract = 'Marketplace' and c.name = 'OfferClosed'
  ) as open
from events o join blocks b on b.number = o.block
where o.contract = 'Marketplace' and o.name = 'OfferPublished';

create view offer_list as
select o.*, s.description, s.thing, s.place, s.from_ms, s.to_ms, s.anchored_at_ms, c.score,
  (select (e.args->>'assurance')::integer from events e where e.args->>'deviceId' = o.stream->>'deviceId'
    and e.contract = 'DeviceRegistry' and e.name = 'Enrolled') as assurance
from offers o left join streams s on s.stream_id = o.stream_id left join scores c on c.seller = o.seller;

create view owners as
select args->>'deviceId' as device_id, case name when 'Enrolled' then 1 else (args->>'ownerEpoch')::bigint end as owner_epoch,
  case name when 'Enrolled' then args->>'owner' else args->>'to' end as owner
from events where contract = 'DeviceRegistry' and name in ('Enrolled', 'OwnershipTransferred');

create view event_list as
select e.*, b.at from events e join blocks b on b.number = e.block;

create view deals as
select d.args->>'dealId' as deal_id, d.args->>'buyer' as buyer, d.args->'deal'->>'seller' as seller,
  d.args->>'deliverer' as deliverer, d.args->'deal'->>'streamId' as stream_id, d.args->'deal' as deal, d.args->'nodes' as nodes,
  d.block, d.index, b.at, d.tx,
  case coalesce(s.name, 'DealOpened')
    when 'DealOpened' then 'funded' when 'Delivered' then 'delivered' when 'Released' then 'released'
    when 'Refunded' then 'refunded' when 'Disputed' then 'disputed' when 'Resolved' then 'resolved' end as state,
  case when s.name = 'Refunded' then (s.args->>'reason')::integer end as refund
from events d join blocks b on b.number = d.block
left join lateral (
  select e.name, e.args from events e
  where e.args->>'dealId' = d.args->>'dealId' and e.contract = 'Escrow'
    and e.name in ('Delivered', 'Released', 'Refunded', 'Disputed', 'Resolved')
  order by e.block desc, e.index desc limit 1
) s on true
where d.contract = 'Escrow' and d.name = 'DealOpened';

create view cases as
select c.args->>'id' as deal_id, d.args->>'complaint' as complaint, d.args->>'complaintBond' as stake,
  (c.args->>'panel')::integer as panel, p.args->'members' as members, p.args->'organisations' as organisations,
  (c.args->>'excluded')::numeric as excluded, c.block, c.index, b.at, c.tx,
  (select coalesce(jsonb_agg(v.args->'seat'), '[]') from events v where v.args->>'id' = c.args->>'id'
    and v.contract = 'Arbitration' and v.name = 'Committed' and v.args->>'court' = c.args->>'court') as committed,
  (select coalesce(jsonb_object_agg(v.args->>'seat', v.args->'perMille'), '{}') from events v where v.args->>'id' = c.args->>'id'
    and v.contract = 'Arbitration' and v.name = 'Revealed' and v.args->>'court' = c.args->>'court') as revealed,
  not exists (select 1 from events e where e.args->>'dealId' = c.args->>'id' and e.contract = 'Escrow' and e.name = 'Resolved') as open
from events c join blocks b on b.number = c.block
join events d on d.args->>'dealId' = c.args->>'id' and d.contract = 'Escrow' and d.name = 'Disputed'
join events p on p.contract = 'Arbitration' and p.name = 'PanelSet' and p.args->'panel' = c.args->'panel'
-- The escrow's own cases: anybody may be a court and open one of any name.
where c.contract = 'Arbitration' and c.name = 'CaseOpened' and c.args->>'court' = (
  select lower(a.value->>1) from city, jsonb_array_elements(city.addresses::jsonb) a where a.value->>0 = 'Escrow');

create view subscriptions as
select s.args->>'subscriptionId' as subscription_id, s.args->>'buyer' as buyer, s.args->>'deliverer' as deliverer,
  s.args->'terms' as terms, s.args->>'deposit' as deposit, s.block, s.index, b.at, s.tx,
  (select count(*)::integer from events e where e.args->>'subscriptionId' = s.args->>'subscriptionId'
    and e.contract = 'Subscription' and e.name = 'BatchDelivered') as batches,
  (select (e.args->>'reason')::integer from events e where e.args->>'subscriptionId' = s.args->>'subscriptionId'
    and e.contract = 'Subscription' and e.name = 'Ended' order by e.block desc, e.index desc limit 1) as ended
from events s join blocks b on b.number = s.block
where s.contract = 'Subscription' and s.name = 'Subscribed';

create view devices as
select d.args->>'deviceId' as device_id, d.args->>'organisation' as organisation, (d.args->>'assurance')::integer as assurance,
  coalesce((select e.args->>'to' from events e where e.args->>'deviceId' = d.args->>'deviceId'
    and e.contract = 'DeviceRegistry' and e.name = 'OwnershipTransferred' order by e.block desc, e.index desc limit 1),
    d.args->>'owner') as owner,
  coalesce((select (e.args->>'status')::integer from events e where e.args->>'deviceId' = d.args->>'deviceId'
    and e.contract = 'DeviceRegistry' and e.name = 'StatusSet' order by e.block desc, e.index desc limit 1), 1) as status,
  coalesce((select (e.args->>'keyEpoch')::integer from events e where e.args->>'deviceId' = d.args->>'deviceId'
    and e.contract = 'DeviceRegistry' and e.name = 'KeyRotated' order by e.block desc, e.index desc limit 1), 1) as key_epoch,
  (select (e.args->'quote'->>'quotedAtMs')::bigint from events e where e.args->>'deviceId' = d.args->>'deviceId'
    and e.contract = 'DeviceRegistry' and e.name = 'QuoteReported' order by e.block desc, e.index desc limit 1) as attested_at_ms,
  d.block, d.index, b.at, d.tx
from events d join blocks b on b.number = d.block
where d.contract = 'DeviceRegistry' and d.name = 'Enrolled';

create view epochs as
select (a.args->>'number')::bigint as number, a.args->>'epochHash' as epoch_hash, (a.args->>'packs')::integer as packs,
  (a.args->>'readings')::bigint as readings, a.block, a.index, b.at, a.tx
from events a join blocks b on b.number = a.block
where a.contract = 'DataAnchor' and a.name = 'Anchored';

create view grants as
select g.args->>'streamId' as stream_id, g.args->>'purpose' as purpose, g.args->>'grantee' as grantee,
  (g.args->>'fromMs')::numeric as from_ms, (g.args->>'untilMs')::numeric as until_ms, g.block, g.index, b.at, g.tx,
  not exists (
    select 1 from events r where r.args->>'streamId' = g.args->>'streamId' and r.contract = 'ConsentRegistry'
      and (r.block, r.index) > (g.block, g.index)
      and (r.name = 'AllRevoked' or (r.name in ('Revoked', 'Granted') and r.args->>'purpose' = g.args->>'purpose'
        and r.args->>'grantee' = g.args->>'grantee'))
  ) as standing
from events g join blocks b on b.number = g.block
where g.contract = 'ConsentRegistry' and g.name = 'Granted';

create view erasures as
select r.args->>'streamId' as stream_id, (r.args->>'number')::bigint as number, (r.args->>'fromSlot')::bigint as from_slot,
  (r.args->>'toSlot')::bigint as to_slot, r.block, r.index, b.at, r.tx,
  (select (c.args->>'completeAt')::bigint from events c where c.args->>'streamId' = r.args->>'streamId'
    and c.contract = 'ConsentRegistry' and c.name = 'ErasureCompleted' and c.args->>'number' = r.args->>'number') as complete_at_ms
from events r join blocks b on b.number = r.block
where r.contract = 'ConsentRegistry' and r.name = 'ErasureRequested';
`;
