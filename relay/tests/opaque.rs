//! The vectors of RFC 9807, through the cipher suite that the relay runs.

use opaque_ke::{
    ClientLogin, ClientLoginFinishParameters, ClientRegistration, ClientRegistrationFinishParameters,
    CredentialFinalization, CredentialRequest, CredentialResponse, Identifiers, RegistrationRequest,
    RegistrationResponse, RegistrationUpload, ServerLogin, ServerLoginParameters, ServerRegistration,
    ServerSetup,
};
use rand_core::{CryptoRng, Error, RngCore};
use std::collections::HashMap;
use subrosa_relay::passwords::Suite;

/// Draws what was put in, and nothing else.
struct Replay(Vec<u8>);

impl Replay {
    fn of(parts: &[&[u8]]) -> Self {
        Self(parts.concat())
    }

    /// A blind is reduced from 64 bytes: the scalar and zeros.
    fn blind(scalar: &[u8], rest: &[&[u8]]) -> Self {
        Self([&[scalar, &[0; 32]], rest].concat().concat())
    }
}

impl RngCore for Replay {
    fn next_u32(&mut self) -> u32 {
        panic!("nothing draws single words")
    }
    fn next_u64(&mut self) -> u64 {
        panic!("nothing draws single words")
    }
    fn fill_bytes(&mut self, dest: &mut [u8]) {
        dest.copy_from_slice(&self.0[..dest.len()]);
        self.0.drain(..dest.len());
    }
    fn try_fill_bytes(&mut self, dest: &mut [u8]) -> Result<(), Error> {
        self.fill_bytes(dest);
        Ok(())
    }
}

impl CryptoRng for Replay {}

struct Vector(HashMap<String, Vec<u8>>);

impl Vector {
    fn named(name: &str) -> Self {
        let file = include_str!("../testdata/opaque-rfc9807.txt");
        let section = file.split('[').find_map(|part| part.strip_prefix(&format!("{name}]\n")));
        let rows = section.expect("in the file").lines().filter_map(|line| line.split_once(": "));
        let hex = |text: &str| data_encoding::HEXLOWER.decode(text.as_bytes()).expect("hex");
        Self(rows.map(|(key, value)| (key.to_string(), hex(value))).collect())
    }

    fn get(&self, key: &str) -> &[u8] {
        &self.0[key]
    }

    fn identifiers(&self) -> Identifiers<'_> {
        let of = |key| self.0.get(key).map(Vec::as_slice);
        Identifiers { client: of("client_identity"), server: of("server_identity") }
    }

    fn parameters(&self) -> ServerLoginParameters<'_, '_> {
        ServerLoginParameters { context: Some(self.get("context")), identifiers: self.identifiers() }
    }

    /// `unknown` is the public key of names without a record.
    fn setup(&self, unknown: &str) -> ServerSetup<Suite> {
        let parts = [self.get("oprf_seed"), self.get("server_private_key"), self.get(unknown)];
        ServerSetup::deserialize(&parts.concat()).expect("a setup")
    }
}

#[test]
fn rfc_9807_appendix_c_1_real_records() {
    for name in ["C.1.1", "C.1.2"] {
        let v = Vector::named(name);
        let setup = v.setup("server_public_key");
        let (password, identifier) = (v.get("password"), v.get("credential_identifier"));

        let mut draws = Replay::blind(v.get("blind_registration"), &[]);
        let begun = ClientRegistration::<Suite>::start(&mut draws, password).expect("begins");
        assert_eq!(begun.message.serialize()[..], *v.get("registration_request"), "{name}");
        let request = RegistrationRequest::deserialize(&begun.message.serialize()).expect("reads");
        let answer = ServerRegistration::<Suite>::start(&setup, request, identifier).expect("answers");
        assert_eq!(answer.message.serialize()[..], *v.get("registration_response"), "{name}");
        let mut draws = Replay::of(&[v.get("envelope_nonce")]);
        let answer = RegistrationResponse::deserialize(&answer.message.serialize()).expect("reads");
        let parameters = ClientRegistrationFinishParameters::new(v.identifiers(), None);
        let done = begun.state.finish(&mut draws, password, answer, parameters).expect("finishes");
        assert_eq!(done.message.serialize()[..], *v.get("registration_upload"), "{name}");
        assert_eq!(done.export_key[..], *v.get("export_key"), "{name}");
        let record = ServerRegistration::finish(
            RegistrationUpload::deserialize(&done.message.serialize()).expect("reads"),
        );

        let rest = [v.get("client_keyshare_seed"), v.get("client_nonce")];
        let mut draws = Replay::blind(v.get("blind_login"), &rest);
        let login = ClientLogin::<Suite>::start(&mut draws, password).expect("begins");
        assert_eq!(login.message.serialize()[..], *v.get("KE1"), "{name}");
        let ke1 = CredentialRequest::deserialize(&login.message.serialize()).expect("reads");
        // A record for names that have none is always drawn, so that both kinds take as long.
        let mut draws = Replay::of(&[
            &[0; 64],
            v.get("masking_nonce"),
            v.get("server_keyshare_seed"),
            v.get("server_nonce"),
        ]);
        let challenge = ServerLogin::start(&mut draws, &setup, Some(record), ke1, identifier, v.parameters());
        let challenge = challenge.expect("answers");
        assert_eq!(challenge.message.serialize()[..], *v.get("KE2"), "{name}");
        let ke2 = CredentialResponse::deserialize(&challenge.message.serialize()).expect("reads");
        let parameters = ClientLoginFinishParameters::new(Some(v.get("context")), v.identifiers(), None);
        let proof = login.state.finish(&mut Replay::of(&[]), password, ke2, parameters).expect("opens");
        assert_eq!(proof.message.serialize()[..], *v.get("KE3"), "{name}");
        assert_eq!(proof.export_key[..], *v.get("export_key"), "{name}");
        assert_eq!(proof.session_key[..], *v.get("session_key"), "{name}");
        let ke3 = CredentialFinalization::deserialize(&proof.message.serialize()).expect("reads");
        let done = challenge.state.finish(ke3, v.parameters()).expect("is right");
        assert_eq!(done.session_key[..], *v.get("session_key"), "{name}");
    }
}

#[test]
fn rfc_9807_appendix_c_2_a_name_without_a_record() {
    let v = Vector::named("C.2.1");
    let setup = v.setup("client_public_key");
    let ke1 = CredentialRequest::<Suite>::deserialize(v.get("KE1")).expect("reads");
    let mut draws = Replay::of(&[
        v.get("masking_key"),
        v.get("masking_nonce"),
        v.get("server_keyshare_seed"),
        v.get("server_nonce"),
    ]);
    let answer =
        ServerLogin::start(&mut draws, &setup, None, ke1, v.get("credential_identifier"), v.parameters());
    assert_eq!(answer.expect("answers").message.serialize()[..], *v.get("KE2"));
}
