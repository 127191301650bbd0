"""How lanes meet, memory and control flow: kernels by name, their code, and what each lane must store (None: the launch
must fail). That is %rd0, or %r0 where the code does not name %rd0; %r15 is the lane."""

MODULE = """
.const .align 4 .f32 table[4] = {0f3F800000, 0f40000000, 0f40400000, 0f40800000};
.global .align 2 .u8 letters[8] = {1, 2, 3, 4, 5, 6, 7};
.shared .align 16 .b8 tile[1024];
.extern .shared .align 16 .b8 dynamic[];
.func (.param .b64 result) add_both(.param .b64 add_both_0, .param .b32 add_both_1)
{
.reg .b64 %rd<4>; .reg .b32 %r<3>;
ld.param.u64 %rd1, [add_both_0];
ld.param.u32 %r1, [add_both_1];
cvt.u64.u32 %rd2, %r1;
add.s64 %rd3, %rd1, %rd2;
st.param.b64 [result+0], %rd3;
ret;
}
"""
# Lane i stores 100 + i in the shared array, and all wait.
FILL = """
shl.b32 %r1, %r15, 2; mov.u32 %r2, tile; add.s32 %r3, %r2, %r1; add.s32 %r4, %r15, 100; st.shared.u32 [%r3], %r4;
bar.sync 0;
"""
# The result and 256 times a predicate.
WITH_P1 = "mov.u32 %r1, %r0; selp.b32 %r2, 256, 0, %p1; or.b32 %r0, %r1, %r2;"


def xor_reduced(lanes: int) -> int:
    result = 0
    for lane in range(32):
        if lanes >> lane & 1:
            result ^= lane * 3
    return result


CASES = [
    ("up", """
     shfl.sync.up.b32 %r0|%p1, %r15, 3, 0, -1;
     """ + WITH_P1, lambda i: i - 3 | 256 if i >= 3 else i),
    ("up_8", """
     shfl.sync.up.b32 %r0|%p1, %r15, 1, 0x1800, -1;
     """ + WITH_P1, lambda i: i - 1 | 256 if i % 8 else i),
    ("down", """
     shfl.sync.down.b32 %r0|%p1, %r15, 5, 31, -1;
     """ + WITH_P1, lambda i: i + 5 | 256 if i + 5 < 32 else i),
    ("bfly", """
     shfl.sync.bfly.b32 %r0|%p1, %r15, 16, 31, -1;
     """ + WITH_P1, lambda i: i ^ 16 | 256),
    ("idx_16", """
     shfl.sync.idx.b32 %r0|%p1, %r15, 5, 0x101f, -1;
     """ + WITH_P1, lambda i: i & 16 | 5 | 256),
    ("ballot", """
     setp.gt.u32 %p1, %r15, 20; vote.sync.ballot.b32 %r0, %p1, -1;
     """, lambda i: 0xffe00000),
    ("any_all", """
     setp.eq.u32 %p1, %r15, 9; vote.sync.any.pred %p2, %p1, -1; vote.sync.all.pred %p3, %p1, -1;
     vote.sync.uni.pred %p4, %p1, -1; selp.b32 %r1, 1, 0, %p2; selp.b32 %r2, 2, 0, %p3; selp.b32 %r3, 4, 0, %p4;
     or.b32 %r0, %r1, %r2; or.b32 %r0, %r0, %r3;
     """, lambda i: 1),
    ("match_any", """
     and.b32 %r1, %r15, 1; match.any.sync.b32 %r0, %r1, -1;
     """, lambda i: 0xaaaaaaaa if i % 2 else 0x55555555),
    ("match_all", """
     mov.u32 %r1, 7; match.all.sync.b32 %r0|%p1, %r1, -1; selp.b32 %r0, %r0, 0, %p1;
     """, lambda i: 0xffffffff),
    ("redux", """
     mul.lo.s32 %r1, %r15, 3; sub.s32 %r2, %r1, 40; redux.sync.min.s32 %r3, %r2, -1;
     redux.sync.xor.b32 %r4, %r1, -1; add.s32 %r0, %r3, %r4;
     """, lambda i: (xor_reduced(-1) - 40) % 2**32),
    ("shared", FILL + """
     xor.b32 %r5, %r1, 124; ld.shared.u32 %r0, [%r5];
     """, lambda i: 131 - i),
    ("generic", FILL + """
     mov.u64 %rd1, tile; cvta.shared.u64 %rd2, %rd1; mul.wide.u32 %rd3, %r15, 4; sub.s64 %rd4, %rd2, %rd3;
     ld.u32 %r0, [%rd4+124]; cvta.to.shared.u64 %rd5, %rd4; cvt.u32.u64 %r7, %rd5; ld.shared.u32 %r8, [%r7+124];
     setp.ne.u32 %p1, %r0, %r8; @%p1 trap;
     """, lambda i: 131 - i),
    ("dynamic", """
     shl.b32 %r1, %r15, 2; mov.u32 %r2, dynamic; add.s32 %r3, %r2, %r1; st.shared.u32 [%r3], %r15; bar.sync 0;
     ld.shared.u32 %r0, [dynamic+12];
     """, lambda i: 3),
    ("vector", FILL + """
     and.b32 %r5, %r1, 112; ld.shared.v4.u32 {%r6, %r7, %r8, %r9}, [%r5]; sub.s32 %r0, %r9, %r6;
     add.s32 %r0, %r0, %r7;
     """, lambda i: 104 + i // 4 * 4),
    ("misaligned", FILL + """
     ld.shared.v2.u32 {%r6, %r0}, [%r2+4];
     """, None),
    ("local", """
     .local .align 8 .b8 depot[32]; mov.u64 %rd1, depot; and.b32 %r1, %r15, 7; mul.wide.u32 %rd2, %r1, 4;
     add.s64 %rd3, %rd1, %rd2; st.local.u32 [%rd3], %r15; ld.local.u32 %r0, [%rd3];
     """, lambda i: i),
    ("constants", """
     and.b32 %r1, %r15, 3; mul.wide.u32 %rd1, %r1, 4; mov.u64 %rd2, table; add.s64 %rd3, %rd2, %rd1;
     ld.const.f32 %f1, [%rd3]; ld.global.u8 %r2, [letters+7]; ld.global.s8 %r3, [letters+2];
     cvt.rzi.u32.f32 %r4, %f1; add.s32 %r0, %r3, %r4; add.s32 %r0, %r0, %r2;
     """, lambda i: 4 + i % 4),
    ("packed", """
     mov.b64 %rd1, {%r15, 5}; mov.b64 {%r1, %r2}, %rd1; mov.b32 {%rs1, %rs2}, %r15; mov.b32 %r3, {%rs2, %rs1};
     shr.u32 %r4, %r3, 16; add.s32 %r0, %r1, %r2; add.s32 %r0, %r0, %r4;
     """, lambda i: 2 * i + 5),
    ("jump", """
     and.b32 %r1, %r15, 3; rem.u32 %r2, %r1, 3; $L_table: .branchtargets $L_a, $L_b, $L_c; brx.idx %r2, $L_table;
     $L_a: mov.u32 %r0, 10; bra.uni $L_end; $L_b: mov.u32 %r0, 20; bra $L_end; $L_c: mov.u32 %r0, 30;
     $L_end:
     """, lambda i: (10, 20, 30, 10)[i % 4]),
    ("called", """
     cvt.u64.u32 %rd1, %r15; { .param .b64 param0; st.param.b64 [param0+0], %rd1; .param .b32 param1;
     st.param.b32 [param1+0], 1000; .param .b64 retval0; call.uni (retval0), add_both, (param0, param1);
     ld.param.b64 %rd0, [retval0+0]; }
     """, lambda i: i + 1000),
    ("atomics", FILL + """
     atom.shared.add.u32 %r5, [tile+128], 1; atom.acq_rel.gpu.shared.cas.b32 %r6, [tile+64], 116, 5; bar.sync 0;
     ld.shared.u32 %r7, [tile+64]; setp.eq.u32 %p1, %r7, 5; selp.b32 %r0, 1, 0, %p1;
     red.shared.max.s32 [tile], %r15;
     """, lambda i: 1),
    ("flags", FILL + """
     setp.eq.s32 %p1, %r15, 31; @!%p1 bra $L_wait; st.release.gpu.shared.u32 [tile+200], 9; bra $L_go;
     $L_wait: ld.acquire.gpu.shared.u32 %r0, [tile+200]; setp.ne.s32 %p2, %r0, 9; @%p2 bra $L_wait;
     $L_go: mov.u32 %r0, 9;
     """, lambda i: 9),
    ("copied", """
     ld.param.u64 %rd1, [copied_param_0]; mul.wide.u32 %rd2, %r15, 8; add.s64 %rd3, %rd1, %rd2;
     add.s32 %r1, %r15, 50; cvt.u64.u32 %rd4, %r1; st.global.u64 [%rd3], %rd4; bar.sync 0; shl.b32 %r2, %r15, 4;
     mov.u32 %r3, tile; add.s32 %r3, %r3, %r2; setp.lt.u32 %p1, %r15, 16; mul.wide.u32 %rd5, %r15, 16;
     add.s64 %rd6, %rd1, %rd5; @%p1 cp.async.cg.shared.global [%r3], [%rd6], 16, 8; cp.async.commit_group;
     cp.async.wait_group 0; bar.sync 0; shl.b32 %r4, %r15, 3; ld.shared.u64 %rd0, [%r4];
     """, lambda i: 0 if i % 2 else i + 50),
    ("matrix", """
     shl.b32 %r1, %r15, 1; cvt.u16.u32 %rs1, %r15; shl.b32 %r2, %r15, 4; st.shared.u16 [%r2], %rs1;
     add.s32 %r3, %r15, 64; cvt.u16.u32 %rs2, %r3; st.shared.u16 [%r2+2], %rs2; bar.sync 0;
     ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%r4, %r5, %r6, %r7}, [%r2]; mov.u32 %r0, %r6;
     """, lambda i: (16 + i // 4 + 64 << 16 | 16 + i // 4) if i % 4 == 0 else 0xffffffff),
    ("block_vote", """
     setp.lt.u32 %p1, %r15, 13; bar.red.popc.u32 %r0, 0, %p1;
     """, lambda i: 13),
    ("named", """
     bar.sync 3, 32; bar.arrive 4, 64; bar.warp.sync -1; mov.u32 %r0, 4;
     """, None),
    ("divided_by_mask", """
     setp.lt.u32 %p1, %r15, 16; @%p1 bra $L_low; mov.u32 %r0, 0; bra $L_out;
     $L_low: redux.sync.add.u32 %r0, %r15, 0xffff; $L_out: bar.warp.sync -1;
     """, lambda i: 120 if i < 16 else 0),
    ("wrong_mask", """
     setp.lt.u32 %p1, %r15, 16; @%p1 redux.sync.add.u32 %r0, %r15, -1;
     """, None),
]  # fmt: skip
