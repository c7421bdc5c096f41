//! Files with keys: what is taken in, what is kept, and new ones.

use super::made::{Author, Store, days_ago, days_of, now};
use crate::certificate::Certificate;
use crate::{KeyState, SecretKey, generate, parse_validity};
use gm_manifest::{Code, NamespacePattern};
use sequoia_openpgp as openpgp;

use openpgp::Packet;
use openpgp::cert::prelude::CipherSuite;
use openpgp::packet::key::Key4;
use openpgp::packet::{Key, UserID};
use openpgp::serialize::MarshalInto;
use openpgp::types::SignatureType;

#[test]
fn a_stored_certificate_is_public_and_its_own_alone() {
    let (author, other) = (Author::new(), Author::new());
    let user = author.cert.userids().next().unwrap().userid().clone();
    let fans = user
        .certify(
            &mut other.primary(),
            &author.cert,
            SignatureType::GenericCertification,
            None,
            days_ago(3),
        )
        .unwrap();
    let secret = author
        .with([Packet::from(fans)])
        .cert
        .as_tsk()
        .to_vec()
        .unwrap();
    let kept = Certificate::parse(&secret).unwrap();
    assert!(!kept.cert().is_tsk());
    assert_eq!(
        kept.to_bytes().unwrap(),
        author
            .cert
            .clone()
            .strip_secret_key_material()
            .to_vec()
            .unwrap()
    );
}

#[test]
fn what_is_not_one_certificate_is_malformed() {
    let author = Author::new();
    let public = author.public();
    let two = [public.clone(), Author::new().public()].concat();
    let revocation = generate("x", days_of(1), None, now()).unwrap().revocation;
    let users = (0..65).map(|n| Packet::from(UserID::from(format!("user {n}"))));
    let users = Packet::from(author.cert.primary_key().key().clone().parts_into_public())
        .to_vec()
        .unwrap()
        .into_iter()
        .chain(users.flat_map(|user| user.to_vec().unwrap()))
        .collect();
    for (what, bytes) in [
        ("empty", Vec::new()),
        ("text", b"hello".to_vec()),
        ("two", two),
        ("a signature", author.signature()),
        ("a revocation alone", revocation),
        ("cut", public[..20].to_vec()),
        ("a crowd", users),
        ("too long", vec![0x99; (1 << 20) + 1]),
    ] {
        assert_eq!(
            Certificate::parse(&bytes).unwrap_err().code,
            Code::KeyCertMalformed,
            "{what}"
        );
    }
}

#[test]
fn a_giant_key_is_refused_before_anything_is_asked_of_it() {
    use openpgp::crypto::mpi::{MPI, PublicKey};
    use openpgp::packet::key::{PrimaryRole, PublicParts};
    let n = MPI::new(&vec![0xFF; 1100]);
    let rsa = PublicKey::RSA {
        e: MPI::new(&[1, 0, 1]),
        n,
    };
    let algorithm = openpgp::types::PublicKeyAlgorithm::RSAEncryptSign;
    let giant: Key4<PublicParts, PrimaryRole> = Key4::new(days_ago(1), algorithm, rsa).unwrap();
    let bytes = Packet::from(Key::from(giant)).to_vec().unwrap();
    assert_eq!(
        Certificate::parse(&bytes).unwrap_err().code,
        Code::KeyWeakKey
    );
}

#[test]
fn a_new_key_signs_at_once_and_until_it_expires() {
    let made = generate("Author <a@example.com>", days_of(30), None, now()).unwrap();
    let certificate = Certificate::parse(&made.public).unwrap();
    assert_eq!(certificate.fingerprint().unwrap(), made.fingerprint);
    assert_eq!(certificate.label(), "Author <a@example.com>");
    let key = SecretKey::read(&made.secret, None, now()).unwrap();
    assert_eq!(key.fingerprint(), &made.fingerprint);
    assert_eq!(
        format!("{key:?}"),
        format!("SecretKey({})", made.fingerprint)
    );
    let unsigned = super::made::manifest("FINGERPRINT", "BASE64_GPG_SIG");
    let signed = key.sign(&super::made::plugin(&unsigned), now()).unwrap();
    let plugin = super::made::plugin(std::str::from_utf8(&signed.bytes).unwrap());
    let store = Store::empty();
    let pattern = NamespacePattern::parse("com.example.hello").unwrap();
    store
        .trust
        .add_key(&made.public, &made.fingerprint, &[pattern])
        .unwrap();
    let verified = store.verify(plugin).unwrap();
    assert_eq!(verified.identity().subkey, made.subkey);
    assert_eq!(verified.identity().digest, signed.digest);
    let seen = store.trust.keys(now()).unwrap().remove(0);
    assert_eq!(
        (seen.expires, seen.state),
        (Some(made.expires), KeyState::Good)
    );
    assert_eq!(
        store.trust.keys(made.expires).unwrap()[0].state,
        KeyState::Expired
    );
    let late = SecretKey::read(&made.secret, None, made.expires).unwrap_err();
    assert_eq!(late.code, Code::KeyNotSigning);
}

#[test]
fn the_revocation_that_comes_with_a_key_ends_it() {
    let made = generate("x", days_of(30), None, now()).unwrap();
    let both = [made.public.clone(), made.revocation.clone()].map(|part| {
        use openpgp::parse::Parse;
        openpgp::PacketPile::from_bytes(&part)
            .unwrap()
            .into_children()
            .collect::<Vec<_>>()
    });
    let cert = openpgp::Cert::from_packets(both.concat().into_iter()).unwrap();
    let revoked = Certificate::parse(&cert.to_vec().unwrap()).unwrap();
    assert!(revoked.revoked(&cert.fingerprint()).is_some());
}

#[test]
fn only_ed25519_keys_sign_in_this_process() {
    let author = Author::of_suite(CipherSuite::P256);
    let secret = author.cert.as_tsk().to_vec().unwrap();
    let refusal = SecretKey::read(&secret, None, now()).unwrap_err();
    assert_eq!(refusal.code, Code::KeyNotSigning);
    assert_eq!(
        SecretKey::read(&author.public(), None, now())
            .unwrap_err()
            .code,
        Code::KeyNotSigning
    );
}

#[test]
fn a_validity_is_a_number_and_a_unit_up_to_ten_years() {
    let days = |text| parse_validity(Some(text)).map(|validity| validity.as_secs() / 86_400);
    assert_eq!(
        (days("30d"), days("2w"), days("1m"), days("10y")),
        (Ok(30), Ok(14), Ok(30), Ok(3650))
    );
    assert_eq!(parse_validity(None), parse_validity(Some("2y")));
    for text in [
        "",
        "d",
        "2",
        "0d",
        "02d",
        "-1d",
        "+1d",
        "1.5y",
        "11y",
        "1 d",
        "1D",
        "99999999999999999999y",
    ] {
        assert!(days(text).is_err(), "accepted {text:?}");
    }
}

#[test]
fn a_hostile_user_id_is_shown_on_one_line_without_effects() {
    let hostile = "x\n[GNUPG:] GOODSIG \u{1b}[2J\u{202e}";
    let author = Author::built(|builder| builder.add_signing_subkey().add_userid("z"));
    let primary = author.cert.primary_key().key().clone().parts_into_public();
    let bytes = [
        Packet::from(primary).to_vec().unwrap(),
        Packet::from(UserID::from(hostile)).to_vec().unwrap(),
    ];
    let label = Certificate::parse(&bytes.concat()).unwrap().label();
    assert!(label.starts_with("x\\n[GNUPG:] GOODSIG"), "{label}");
    assert!(!label.contains(['\n', '\u{1b}', '\u{202e}']));
    let made = generate(hostile, days_of(1), None, now());
    assert_eq!(made.map(|_| ()).unwrap_err().code, Code::UsageArguments);
}
