//! The session password: sixteen bytes that any server can compute from the session id (client protocol 3.1).
//!
//! It is not a secret: it only keeps clients from attaching to a session by mistake.

use crate::ids::SessionId;

/// Length of a session password, bytes.
pub const PASSWORD_LEN: usize = 16;

const SEED_MASK: u64 = 0xb341_5c00;
const MULTIPLIER: u64 = 0x5_deec_e66d;
const INCREMENT: u64 = 0xb;
const STATE_MASK: u64 = (1 << 48) - 1;

/// The password of `session`, from the 48-bit generator that every ZooKeeper server uses.
#[must_use]
pub fn password(session: SessionId) -> [u8; PASSWORD_LEN] {
    let mut state = ((session.0 as u64 ^ SEED_MASK) ^ MULTIPLIER) & STATE_MASK;
    let mut bytes = [0; PASSWORD_LEN];
    for word in bytes.chunks_exact_mut(4) {
        state = state.wrapping_mul(MULTIPLIER).wrapping_add(INCREMENT) & STATE_MASK;
        word.copy_from_slice(&((state >> 16) as u32).to_le_bytes());
    }
    bytes
}

/// True when `given` is the password of `session`. The id 0 has none.
#[must_use]
pub fn matches(session: SessionId, given: &[u8]) -> bool {
    session != SessionId::NONE && given == password(session)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn passwords_equal_those_of_the_java_server() {
        let cases: [(i64, u128); 5] = [
            (
                0x0100_0011_3e12_0000,
                0x9c4c_7168_f9f7_76f7_da16_fe6f_6adf_51aa,
            ),
            (
                0x0100_0018_404f_0001,
                0x96c0_6fd2_f419_9d01_8e60_08c5_91e1_f383,
            ),
            (
                0x0300_0018_4051_0000,
                0x9506_8576_fedc_7e0e_fb17_b9cc_7700_61d1,
            ),
            (
                0x0100_0019_d5e7_0000,
                0xcbfd_7c30_fca2_f5be_2199_556f_a521_14ad,
            ),
            (1, 0x054c_c74a_3732_7db2_15e7_02e2_0c73_f005),
        ];
        for (id, expected) in cases {
            assert_eq!(
                u128::from_be_bytes(password(SessionId(id))),
                expected,
                "{id:x}"
            );
            assert!(matches(SessionId(id), &expected.to_be_bytes()));
        }
        assert!(!matches(SessionId::NONE, &password(SessionId::NONE)));
    }
}
