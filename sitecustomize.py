import os, sys
if os.environ.get("A1INST") and "streams.worker" in " ".join(sys.orig_argv):
    import time, atexit, pickle
    rows=[]; role=sys.orig_argv[-1]; now=time.time
    def note(point,key): rows.append((point,key,now()))
    import streams.delivery as D, streams.outbox as O
    from faust.transport.drivers.aiokafka import AIOKafkaConsumerThread as T
    of=T._fetch_records
    async def fr(self,*a,**k):
        got=await of(self,*a,**k)
        t=now()
        for tp,ms in got.items():
            for m in ms: rows.append(("fetch."+tp.topic,m.key,t))
        return got
    T._fetch_records=fr
    ot=D.Delivery.take_in
    async def ti(self,origin,*a,**k):
        note("in."+origin.topic,origin.key)
        try: await ot(self,origin,*a,**k)
        finally: note("out."+origin.topic,origin.key)
    D.Delivery.take_in=ti
    op=O.Outbox.publish
    async def pub(self,topic,event,**k):
        key=O.key_of(topic,event); note("pub0."+topic,key); await op(self,topic,event,**k); note("pub1."+topic,key)
    O.Outbox.publish=pub
    if role=="generator":
        import agents.answering.provider as P
        oc=P.Provider.call
        async def call(self,*a,**k):
            key=D.current_origin.get().key; note("call0",key); r=await oc(self,*a,**k); note("call1",key); return r
        P.Provider.call=call
        import agents.generator as G
        name="_conclude" if hasattr(G.Generator,"_conclude") else "_keep"
        og=getattr(G.Generator,name)
        async def conc(self,identity,*a,**k):
            key=identity[1].encode(); note("keep0",key); r=await og(self,identity,*a,**k); note("keep1",key); return r
        setattr(G.Generator,name,conc)
    atexit.register(lambda: pickle.dump(rows,open(f"/tmp/w/x-a1/inst/{role}.pkl","wb")))
